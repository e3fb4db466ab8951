"""Caption files and folders of photographs that no reader can take: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

import json

from tests.bad_input.workplace import picture

OWN = "python soli.datasets.FolderDataset"
FLICKR = "python soli.datasets.Flickr8kDataset"
COCO = "python soli.datasets.KarpathyDataset"
IMAGE = {"filename": "a.png", "split": "train", "sentences": [{"raw": "a dog"}]}


def _karpathy(**changes: object) -> str:
    """Karpathy's file of one photograph, some of it changed; None: without it."""
    return json.dumps({"images": [{key: value for key, value in {**IMAGE, **changes}.items() if value is not None}]})


def _flickr(name: str, captions: str, train: str = "a.png\n", **others: str) -> dict[str, object]:
    lists = {"Flickr_8k.trainImages.txt": train, "Flickr_8k.devImages.txt": "b.png\n", "Flickr_8k.testImages.txt": "b.png\n", **others}
    folder = f"flickr/{name}"
    return {f"{folder}/{captions}": "", **{f"{folder}/{file}": text for file, text in lists.items()}, f"{folder}/images/a.png": picture}


TOKENS, KAGGLE = "Flickr8k.token.txt", "captions.txt"
CSV = {
    "columns": "file,text\na.png,a dog\n",
    "empty": "",
    "header": "image,caption\n",
    "fields": "image,caption\na.png,a dog, a cat\n",
    "quotes": 'image,caption\na.png,"a dog\n',
    "split": "image,caption,split\na.png,a dog,trian\n",
    "nameless": "image,caption\n ,a dog\n",
    "outside": "image,caption\n../a.png,a dog\n",
    "absolute": "image,caption\n/etc/a.png,a dog\n",
    "absent": "image,caption\na.png,a dog\nc.png,a cat\n",
    "wordless": "image,caption\na.png, \n",
    "latin": "image,caption\na.png,un café\n".encode("latin-1"),
    "utf16": "image,caption\na.png,a dog\n".encode("utf-16"),
    "binary": b"\x00\x01\xff\xfe\x93",
}
JSON_LINES = {
    "broken": '{"image": "a.png", "caption": "a dog"\n',
    "list": '["a.png", "a dog"]\n',
    "keyless": '{"image": "a.png"}\n',
    "both": '{"image": "a.png", "caption": "a dog", "captions": ["a cat"]}\n',
    "number": '{"image": 5, "caption": "a dog"}\n',
    "odd": '{"image": "a.png", "captions": [5]}\n',
    "half": '{"image": "a.png", "caption": "a", "split": "train"}\n{"image": "b.png", "caption": "b"}\n',
    "null": '{"image": "a.png", "caption": null}\n',
}
KARPATHY = {
    "broken": '{"images": [',
    "list": "[1, 2]",
    "empty": '{"images": []}',
    "textual": '{"images": "a.png"}',
    "nameless": _karpathy(filename=None),
    "splitless": _karpathy(split=None),
    "sentenceless": _karpathy(sentences=None),
    "captionless": _karpathy(sentences=[]),
    "odd": _karpathy(split="validation"),
    "number": _karpathy(filename=5),
    "odd_caption": _karpathy(sentences=[{"raw": 5}]),
    "outside": _karpathy(filename="../a.png"),
    "twice": json.dumps({"images": [IMAGE, IMAGE]}),
    "absent": _karpathy(filename="c.png"),
}
FILES = {
    **{f"csv/{name}/captions.csv": content for name, content in CSV.items()},
    **{f"csv/{name}/images/a.png": picture for name in CSV},
    **{f"lines/{name}/captions.jsonl": content for name, content in JSON_LINES.items()},
    **{f"lines/{name}/images/a.png": picture for name in JSON_LINES},
    **{f"karpathy/{name}/dataset_own.json": content for name, content in KARPATHY.items()},
    **{f"karpathy/{name}/images/a.png": picture for name in KARPATHY},
    "bare/captions.csv": "image,caption\na.png,a dog\n",
    "bare/note.txt": "",
    **_flickr("tabless", TOKENS) | {f"flickr/tabless/{TOKENS}": "a.png#0 a dog\n"},
    **_flickr("numberless", TOKENS) | {f"flickr/numberless/{TOKENS}": "a.png\ta dog\n"},
    **_flickr("repeated", TOKENS) | {f"flickr/repeated/{TOKENS}": "a.png#0\ta dog\na.png#0\ta cat\n"},
    **_flickr("listless", TOKENS) | {f"flickr/listless/{TOKENS}": "a.png#0\ta dog\n", "flickr/listless/Flickr_8k.devImages.txt": None},
    **_flickr("strange", TOKENS, "z.png\n") | {f"flickr/strange/{TOKENS}": "z.png#0\ta dog\n"},
    **_flickr("double", TOKENS, "a.png\na.png\n") | {f"flickr/double/{TOKENS}": "a.png#0\ta dog\n"},
    **_flickr("empty", TOKENS),
    **_flickr("columns", KAGGLE) | {f"flickr/columns/{KAGGLE}": "a.png,a dog\n"},
    **_flickr("commas", KAGGLE) | {f"flickr/commas/{KAGGLE}": "image,caption\na.png,a dog, running\n"},
    "small/images/a.png": picture,
    "small/images/b.png": picture,
    "small/captions.csv": "image,caption,split\na.png,a dog,train\nb.png,a cat,val\n",
    "unreadable/images/a.png": "no picture",
    "unreadable/images/b.png": picture,
    "unreadable/captions.csv": "image,caption,split\na.png,a dog,train\nb.png,a cat,val\n",
}
FILES = {name: content for name, content in FILES.items() if content is not None}
FOLDER = "train dataset=folder vocabulary.min_count=1 dataset.root"

CASES = [
    # folders
    ("train dataset=folder", "dataset.root is not set", "give the folder with the photographs and captions"),
    (f"{FOLDER}=nowhere", "dataset.root is 'nowhere', which does not exist", "give the folder of your photographs"),
    (f"{FOLDER}=file.txt", "dataset.root is 'file.txt', which is not a folder", "give the folder of your photographs"),
    (f"{FOLDER}=", "dataset.root= holds an empty text", "give text or null"),
    (f"{FOLDER}=empty", "empty has no caption file", "looked for captions.csv"),
    (f"{FOLDER}=bare", "bare/captions.csv names 1 photograph", "Add the files, or go on without"),
    (f"{FOLDER}=small dataset.annotations=other.csv", "small has no caption file", "looked for other.csv"),
    (f"{FOLDER}=small dataset.limit=0", "dataset.limit is 0", "from 1 on, or null"),
    (f"{FOLDER}=small dataset.reference_side=0", "dataset.reference_side is 0", "from 1 on, or null"),
    (f"{FOLDER}=small dataset.val_fraction=0.6 dataset.test_fraction=0.6", "dataset.val_fraction is 0.6", "leave something for train"),
    (f"{FOLDER}=small variant=aug degradation.conditions=[R0.01S1]", "small/images/a.png is too small", "use a larger ratio"),
    (f"{FOLDER}=unreadable", "unreadable/images/a.png", "replace them or take them out"),
    ("train dataset=flickr8k", "dataset.root is 'data/flickr8k', which does not exist", "give the folder of flickr8k"),
    ("train dataset=coco dataset.root=empty", "empty has no caption file", "looked for dataset_coco.json"),
    # CSV
    (f"{OWN}('csv/columns')", "csv/columns/captions.csv has no column image and no column caption", "its first line has file, text"),
    (f"{OWN}('csv/empty')", "csv/empty/captions.csv has no column image", "its first line has nothing"),
    (f"{OWN}('csv/header')", "csv/header/captions.csv has no photograph with a caption", "add"),
    (f"{OWN}('csv/fields')", "csv/fields/captions.csv, line 2: 3 fields", "belong in double quotes"),
    (f"{OWN}('csv/quotes')", "csv/quotes/captions.csv, line 2", "belong in double quotes"),
    (f"{OWN}('csv/split')", "csv/split/captions.csv, line 2: the split is 'trian'", "allowed are train, val, test"),
    (f"{OWN}('csv/nameless')", "csv/nameless/captions.csv, line 2: the name of the photograph is empty", "give"),
    (f"{OWN}('csv/outside')", "csv/outside/captions.csv names the photograph '../a.png'", "stay inside the image folder"),
    (f"{OWN}('csv/absolute')", "csv/absolute/captions.csv names the photograph '/etc/a.png'", "names must be relative"),
    (f"{OWN}('csv/absent')", "csv/absent/captions.csv names 1 photograph (of 2) without a file", "Add the files"),
    (f"{OWN}('csv/wordless')", "csv/wordless/captions.csv has no photograph with a caption", "add"),
    (f"{OWN}('csv/latin')", "csv/latin/captions.csv, line 2: the text is not UTF-8", "save the file as UTF-8"),
    (f"{OWN}('csv/utf16')", "csv/utf16/captions.csv, line 1: the text is not UTF-8", "save the file as UTF-8"),
    (f"{OWN}('csv/binary')", "csv/binary/captions.csv, line 1: the text is not UTF-8", "save the file as UTF-8"),
    # JSON lines
    (f"{OWN}('lines/broken')", "lines/broken/captions.jsonl, line 1: the JSON is broken", "each line is an object"),
    (f"{OWN}('lines/list')", "lines/list/captions.jsonl, line 1", "an object with image and either caption or captions is needed"),
    (f"{OWN}('lines/keyless')", "this one has image", "either caption or captions is needed"),
    (f"{OWN}('lines/both')", "this one has image, caption, captions", "either caption or captions is needed"),
    (f"{OWN}('lines/number')", "lines/number/captions.jsonl, line 1", "image and caption must be text"),
    (f"{OWN}('lines/odd')", "lines/odd/captions.jsonl, line 1", "captions a list of texts"),
    (f"{OWN}('lines/null')", "lines/null/captions.jsonl, line 1", "image and caption must be text"),
    (f"{OWN}('lines/half')", "lines/half/captions.jsonl, line 2", "either all lines have a split or none"),
    # Karpathy's JSON
    (f"{COCO}('own', 'karpathy/broken')", "karpathy/broken/dataset_own.json, line 1: the JSON is broken", "download or unpack it again"),
    (f"{COCO}('own', 'karpathy/list')", "karpathy/list/dataset_own.json is no caption file of Karpathy's kind", "it needs images"),
    (f"{COCO}('own', 'karpathy/textual')", "karpathy/textual/dataset_own.json is no caption file", "it needs images"),
    (f"{COCO}('own', 'karpathy/empty')", "karpathy/empty/dataset_own.json has no photograph with a caption", "add"),
    (f"{COCO}('own', 'karpathy/nameless')", "karpathy/nameless/dataset_own.json is no caption file", "filename, split and sentences"),
    (f"{COCO}('own', 'karpathy/splitless')", "karpathy/splitless/dataset_own.json is no caption file", "filename, split and sentences"),
    (f"{COCO}('own', 'karpathy/sentenceless')", "karpathy/sentenceless/dataset_own.json is no", "sentences with raw"),
    (f"{COCO}('own', 'karpathy/captionless')", "karpathy/captionless/dataset_own.json has no photograph", "add"),
    (f"{COCO}('own', 'karpathy/number')", "karpathy/number/dataset_own.json is no caption file", "it needs images"),
    (f"{COCO}('own', 'karpathy/odd_caption')", "karpathy/odd_caption/dataset_own.json is no caption file", "sentences with raw"),
    (f"{COCO}('own', 'karpathy/odd')", "has the split 'validation'", "allowed are train, val, test and restval"),
    (f"{COCO}('own', 'karpathy/outside')", "names the photograph '../a.png'", "stay inside the image folder"),
    (f"{COCO}('own', 'karpathy/twice')", "lists 1 photograph more than once in a split; the first: a.png", "List each once"),
    (f"{COCO}('own', 'karpathy/absent')", "without a file in karpathy/absent/images; the first: c.png", "Add the files"),
    # Flickr8k's text files
    (f"{FLICKR}('flickr/tabless')", "Flickr8k.token.txt, line 1: 'a.png#0 a dog'", "of the form name.jpg#0<tab>caption"),
    (f"{FLICKR}('flickr/numberless')", "Flickr8k.token.txt, line 1", "of the form name.jpg#0<tab>caption"),
    (f"{FLICKR}('flickr/repeated')", "line 2: a.png#0 was there before", "each caption needs a number of its own"),
    (f"{FLICKR}('flickr/listless')", "has no list of the val photographs", "looked for Flickr_8k.devImages.txt"),
    (f"{FLICKR}('flickr/strange')", "without a file in flickr/strange/images; the first: z.png", "Add the files"),
    (f"{FLICKR}('flickr/double')", "Flickr8k.token.txt lists 1 photograph more than once", "List each once"),
    (f"{FLICKR}('flickr/empty')", "Flickr8k.token.txt has no photograph with a caption", "add"),
    (f"{FLICKR}('flickr/columns')", "captions.txt has no column image", "its first line has a.png, a dog"),
    (f"{FLICKR}('flickr/commas')", "captions.txt, line 2: 3 fields", "belong in double quotes"),
    (f"{FLICKR}('flickr/empty', annotations='kaggle')", "has no caption file: looked for captions.txt", "there are"),
    (f"{FLICKR}('flickr/empty', annotations='tokens')", "dataset.annotations is 'tokens'", "allowed are auto, karpathy, token, kaggle"),
]

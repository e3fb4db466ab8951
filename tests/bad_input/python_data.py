"""What notebooks score with the wrong thing, captions and ranks: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

SCORE = "python soli.evaluation.score_captions"
RANK, FOLD = "python soli.evaluation.rank_metrics", "python soli.evaluation.fold_metrics"
CASES = [
    (f"{SCORE}([], [])", "references is empty", "no photograph to score"),
    (f"{SCORE}(['a'], [['a'], ['b']], ['CIDEr'])", "1 captions were given for 2 photographs", "give one caption per photograph"),
    (f"{SCORE}('a dog', [['a dog']], ['CIDEr'])", "is a str", "['a dog'] if it is only one"),
    (f"{SCORE}(['a dog'], ['a dog'], ['CIDEr'])", "references[0] is a str", "['a dog'] if it is only one"),
    (f"{SCORE}(['a dog'], 'a dog', ['CIDEr'])", "references is a str", "one list of captions per photograph"),
    (f"{SCORE}([None], [['a dog']], ['CIDEr'])", "[0] is None", "a caption is one string"),
    (f"{SCORE}(None, [['a dog']], ['CIDEr'])", "is None", "give a list of captions"),
    (f"{SCORE}(['a dog'], None, ['CIDEr'])", "references is None", "one list of captions per photograph"),
    (f"{SCORE}(['a dog'], [None], ['CIDEr'])", "references[0] is None", "give a list of captions"),
    (f"{SCORE}(['a dog'], [[]], ['CIDEr'])", "references[0] is empty", "at least one caption"),
    (f"{SCORE}(['a dog'], [['a dog']], ['CIDR'])", "no metric 'CIDR'", "did you mean CIDEr?"),
    (f"{SCORE}(['a dog'], [['a dog']], 'CIDEr')", "metrics is 'CIDEr'", "give a list of some of BLEU"),
    (f"{SCORE}(['a dog'], [['a dog']], [])", "metrics is []", "give a list of some of BLEU"),
    (f"{SCORE}(['a dog'], [['a dog']], None)", "metrics is None", "give a list of some of BLEU"),
    (f"{SCORE}(['a dog'], [['a dog']], [5])", "no metric 5", "choose from BLEU"),
    (f"{RANK}(np.zeros((2, 3)), [0, 1])", "similarity has the shape (2, 3)", "one image for each caption"),
    (f"{RANK}(np.zeros((2, 2)), [0, 5])", "image_of_caption names images 0 to 5", "there are 0 to 1"),
    (f"{RANK}(np.zeros((2, 2)), [0, 0])", "1 images have no caption, the first of them 1", "leave them out"),
    (f"{RANK}(np.zeros((2, 2)), [0.0, 1.0])", "image_of_caption has 2 entries of type torch.float", "give whole numbers"),
    (f"{RANK}(np.full((2, 2), np.nan), [0, 1])", "similarity has NaN", "embeddings that it was made of are broken"),
    (f"{RANK}(np.zeros((0, 0)), [])", "image_of_caption has 0 entries", "one at least"),
    (f"{RANK}([], [])", "similarity has the shape (0,)", "give floats (images, captions)"),
    (f"{RANK}('high', [0])", "similarity is a str", "give numbers, as a tensor, an array or lists"),
    (f"{RANK}(None, [0])", "similarity is None", "give numbers"),
    (f"{RANK}([[1.0], [1.0, 2.0]], [0, 1])", "similarity is a list", "lists of one length"),
    (f"{RANK}(np.zeros((2, 2)), None)", "image_of_caption is None", "give numbers"),
    (f"{RANK}(np.zeros((2, 2), int), [0, 1])", "type torch.int64", "give floats"),
    (f"{FOLD}(torch.zeros(4, 2), torch.zeros(4, 2), range(4), fold_size=3)", "fold_size=3 would leave out 1 of the 4", "divides 4"),
    (f"{FOLD}(torch.zeros(4, 2), torch.zeros(4, 2), range(4), fold_size=0)", "fold_size=0", "at least 2, or"),
    (f"{FOLD}(torch.zeros(4, 2), torch.zeros(4, 2), range(4), fold_size=9)", "fold_size=9 is more than the 4", "all of them at once"),
    (f"{FOLD}(torch.zeros(4, 2), torch.zeros(4, 3), range(4))", "images have the shape (4, 2), captions (4, 3)", "give embeddings"),
    (f"{FOLD}(torch.zeros(0, 2), torch.zeros(0, 2), [])", "image_of_caption has 0 entries", "one at least"),
    (f"{FOLD}(torch.full((4, 2), torch.nan), torch.zeros(4, 2), range(4))", "NaN or infinite", "give finite floats"),
    (f"{FOLD}(None, torch.zeros(4, 2), range(4), 2)", "images is None", "give numbers"),
    (f"{FOLD}(torch.zeros(4, 2), torch.zeros(4, 2), 'abcd', 2)", "image_of_caption is a str", "give numbers"),
    (f"{FOLD}(torch.zeros(1, 2), torch.zeros(1, 2), [0], fold_size=1)", "fewer than two photographs", "give more"),
]

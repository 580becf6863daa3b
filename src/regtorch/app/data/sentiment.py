"""Document 004's sentiment analysis: sentences of film reviews as bags of words."""

import codecs
import hashlib
import io
import urllib.request
from pathlib import Path
from typing import ClassVar, Unpack

import torch

from regtorch.app.data.archives import tar_files
from regtorch.app.data.arrays import Arrays, Splits
from regtorch.app.data.bag_of_words import present, vocabulary
from regtorch.app.data.data_errors import reading
from regtorch.app.data.download import DownloadError
from regtorch.app.data.options import Options
from regtorch.app.data.split import split
from regtorch.app.data.torchvision_files import FilesDataModule
from regtorch.checks import integer, share

__all__ = ["Sentiment"]

_URL = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz"
_SHA256 = "a05befe52aafda71d458d188a1c54506a998b1308613ba76bbda2e5029409ce9"
_LARGEST = 2**22  # bytes of the archive, or of a file in it
_FILES = {  # in the order of the classes, with the SHA-256 of the official files
    "rt-polarity.neg": "4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca",
    "rt-polarity.pos": "2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0",
}


class Sentiment(FilesDataModule):
    """Pang and Lee's sentence polarity data: 5,331 negative (0) and 5,331 positive (1) sentences.

    `dir` holds `rt-polarity/` with rt-polarity.neg and rt-polarity.pos. A sentence is a vector of `max_words` numbers,
    1 for each of the `max_words - 1` most frequent words of the training part that it has; the first number is always
    0, as in Keras's Tokenizer. Validation and test parts are fixed random shares with equal classes.

    Args:
        dir: The folder of the data's files, or the one to download them to.
        max_words: The vectors' length.
        val_share: The share of the validation part.
        test_share: The share of the test part.
        **options: `num_classes` (2), `batch_size`, `seed` (of the shuffling alone), `download`; see `ArraysDataModule`.
    """

    title = "movie-review sentences"
    images = False
    folder = "rt-polarity"
    class_names = ("negative", "positive")
    lines: ClassVar[int] = 5331
    """The number of sentences in each file."""

    def __init__(
        self,
        dir: str = "data",
        *,
        max_words: int = 10_000,
        val_share: float = 0.1,
        test_share: float = 0.1,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(dir, **(Options(num_classes=2) | options))
        self.max_words = integer(self.title, "max_words", max_words, low=2)
        self.val_share = share(self.title, "val_share", val_share)
        self.test_share = share(self.title, "test_share", test_share)

    def fetch(self, root: str) -> object:
        """Download the authors' archive and unpack its two files into `root`."""
        with urllib.request.urlopen(_URL) as answer:
            content = answer.read(_LARGEST)
        found = hashlib.sha256(content).hexdigest()
        if found != _SHA256:
            raise DownloadError(f"{_URL}: expected the official file's SHA-256, {_SHA256}, received {found}")
        target = Path(root) / self.folder
        target.mkdir()
        for name, text in tar_files(Path(_URL), io.BytesIO(content), largest=_LARGEST):
            if name.name in _FILES:
                (target / name.name).write_bytes(text)

    def missing_files(self) -> list[str]:
        """The names of missing files."""
        return [name for name in _FILES if not (self.path / name).is_file()]

    def read(self) -> Splits:
        """Read and split the sentences; only the training part's words are counted."""
        contents = {name: (self.path / name).read_bytes() for name in _FILES}
        others = [name for name in _FILES if hashlib.sha256(contents[name]).hexdigest() != _FILES[name]]
        if others:
            self.remark = f"{self.title}: not the official files: {' and '.join(others)}"
        negative, positive = (self._sentences(self.path / name, content) for name, content in contents.items())
        sentences = negative + positive
        labels = torch.tensor([0] * len(negative) + [1] * len(positive))
        parts = split(labels, [self.val_share, self.test_share], str(self.path))
        numbers = vocabulary([sentences[i] for i in parts[0].tolist()], self.max_words)
        bags = present(sentences, numbers, self.max_words)
        return Splits(*(Arrays(bags[part], labels[part]) for part in parts))

    def _sentences(self, file: Path, content: bytes) -> list[str]:
        with reading(file):
            if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise ValueError("it begins with a byte-order mark; expected Windows-1252, as in the official copy")
            # Not splitlines(), which also splits at other characters than the line feed.
            *found, rest = content.decode("cp1252").split("\n")
            if len(found) != self.lines or rest:
                raise ValueError(f"expected {self.lines:,} lines with one sentence each, found {len(found):,}")
            sentences = [sentence.strip() for sentence in found]
            if "" in sentences:
                raise ValueError(f"line {sentences.index('') + 1} is empty")
        return sentences

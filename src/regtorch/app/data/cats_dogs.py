"""Document 004's two classes of 150×150 images: cats and dogs."""

from typing import Unpack

from regtorch.app.data.image_folder import FolderOptions, ImageFolders

__all__ = ["CatsDogs"]


class CatsDogs(ImageFolders):
    """Cats (0) and dogs (1), 150×150 RGB; a random fifth of the training images is the validation part.

    `dir` holds `cats-dogs-small.zip` or the unpacked folder, each with {train,test}/{cats,dogs}/, or is the .zip.
    For the arguments see `ImageFolders`; `batch_size` is 16, `val_share` 0.2 and `test_share` 0 by default.
    """

    title = "cats and dogs"
    archive = "cats-dogs-small"
    class_names = ("cats", "dogs")
    elsewhere = (
        "it is not downloaded, as Kaggle requires an account; get 'Dogs vs. Cats' there and put some of its training "
        "images into cats-dogs-small/train/cats, train/dogs, test/cats and test/dogs"
    )

    def __init__(self, dir: str = "data", **options: Unpack[FolderOptions]) -> None:
        super().__init__(dir, **(FolderOptions(batch_size=16, val_share=0.2, test_share=0.0) | options))

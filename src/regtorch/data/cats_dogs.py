"""Document 004's two classes of 150×150 images: cats and dogs."""

from collections.abc import Sequence

from regtorch.data.augment import Augment
from regtorch.data.image_folder import ImageFolders

__all__ = ["CatsDogs"]


class CatsDogs(ImageFolders):
    """Cats (0) and dogs (1), 150×150 RGB; a random fifth of the training images is for validation.

    `dir` holds `cats-dogs-small.zip` or the unpacked folder, each with {train,test}/{cats,dogs}/, or is the .zip.
    For the other arguments see `ImageFolders`.
    """

    title = "cats and dogs"
    archive = "cats-dogs-small"
    class_names = ("cats", "dogs")
    elsewhere = (
        "it is not downloaded, as Kaggle asks for an account; get 'Dogs vs. Cats' there and put a part of its training "
        "pictures into cats-dogs-small/train/cats, train/dogs, test/cats and test/dogs"
    )

    def __init__(
        self,
        dir: str = "data",
        *,
        num_classes: int = 2,
        batch_size: int = 16,
        size: Sequence[int] = (150, 150),
        interpolation: str = "nearest",
        min_size: Sequence[int] | None = None,
        on_error: str = "stop",
        val_share: float = 0.2,
        test_share: float = 0.0,
        resize: Sequence[int] | None = None,
        seed: int | None = 0,
        download: bool = True,
        augment: Augment | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__(
            dir,
            num_classes=num_classes,
            batch_size=batch_size,
            size=size,
            interpolation=interpolation,
            min_size=min_size,
            on_error=on_error,
            val_share=val_share,
            test_share=test_share,
            resize=resize,
            seed=seed,
            download=download,
            augment=augment,
            mixup=mixup,
            cutmix=cutmix,
        )

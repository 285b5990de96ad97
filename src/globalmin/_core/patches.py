"""Images as flat rows, channels last, and the windows that a convolution of stride 1 sums over."""

from . import numerics


def check_patches(image_shape: tuple[int, ...], filter_size: int) -> None:
    """Raise `ValueError` unless the shape is one of images and the filter is odd and fits into them."""
    if len(image_shape) not in (2, 3):
        raise ValueError(
            f"image_shape: (height, width, channels) or (pixels, channels) expected, {tuple(image_shape)} came"
        )
    for size in image_shape:
        numerics.check_count("image_shape", size)
    numerics.check_count("filter_size", filter_size)
    if filter_size % 2 == 0:
        raise ValueError(
            f"filter_size: an odd number expected, {filter_size} came; a patch has its pixel in the middle, take "
            f"{filter_size + 1}"
        )
    if filter_size > min(image_shape[:-1]):
        raise ValueError(
            f"filter_size: at most {min(image_shape[:-1])} expected, the shorter side of images {tuple(image_shape)}; "
            f"{filter_size} came"
        )

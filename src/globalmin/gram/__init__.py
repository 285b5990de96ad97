from .jacobian import jacobian as jacobian
from .layerwise import block_gram as block_gram
from .layerwise import block_grams as block_grams
from .layerwise import gram as gram

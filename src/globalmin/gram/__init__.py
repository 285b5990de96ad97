from .jacobian import jacobian as jacobian
from .layerwise import block_grams as block_grams
from .layerwise import entry_error as entry_error
from .layerwise import gram as gram
from .layerwise import grams_of as grams_of
from .layerwise import layer_grams as layer_grams

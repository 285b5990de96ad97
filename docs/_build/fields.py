"""Fields of `eqx.Module`s on the API pages: the comment at the end of a field's line is its documentation."""

import re

import griffe

_FIELD = re.compile(r"^\s+\w+: [^#]*#\s(?!pyright|noqa|fmt)(.+)$")


class Fields(griffe.Extension):
    """Give every annotated field without a docstring the comment on its line."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_) -> None:
        """Called for every attribute that was found."""
        if attr.docstring is None and attr.annotation is not None and attr.parent is not None and attr.parent.is_class:
            found = _FIELD.match(attr.lines[-1]) if attr.lines else None
            if found:
                attr.docstring = griffe.Docstring(found[1], parent=attr, lineno=attr.lineno)

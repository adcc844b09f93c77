"""CloudFormation templates as data: `!Sub text` becomes `{"Fn::Sub": text}`."""

from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    pass


def function(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt":
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


Loader.add_multi_constructor("!", function)


def read(text: str) -> Any:
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader, with more tags

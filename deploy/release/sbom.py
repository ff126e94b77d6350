"""The software bill of materials, CycloneDX 1.6 as JSON, of what Concord brings: names, versions, licences, who needs whom."""

from cyclonedx.builder.this import this_component
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.release.dependencies import Dependency


def sbom(name: str, version: str, licence: str, direct: tuple[str, ...], found: list[Dependency]) -> str:
    """The document; `direct` are those that the product itself asks for. The same input gives the same document but for its serial
    number and its time."""
    factory, bom = LicenseFactory(), Bom()
    bom.metadata.tools.components.add(this_component())
    root = Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=name,
        licenses=[factory.make_from_string(licence)],
    )
    bom.metadata.component = root
    parts = {
        one.name: Component(
            name=one.name,
            version=one.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{one.name}=={one.version}",
            purl=PackageURL("pypi", None, one.name, one.version),
            licenses=[factory.make_from_string(one.licence)],
        )
        for one in found
    }
    for part in parts.values():
        bom.components.add(part)
    bom.register_dependency(root, [parts[other] for other in direct if other in parts])
    for one in found:
        bom.register_dependency(parts[one.name], [parts[other] for other in one.needs if other in parts])
    return JsonV1Dot6(bom).output_as_string(indent=2)

"""``python -m cli.sbom FILE``: takes the tool's own pages out of a software bill of materials.

`make sbom` calls it. What is left names no address but the schema's: where packages come from is
the business of whoever installs them.
"""

import json
import sys
from pathlib import Path
from typing import Any


def without_addresses(bill: dict[str, Any]) -> dict[str, Any]:
    """The bill with hashes, but without addresses of the tool's pages and of distributions."""
    for tool in bill["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)
    for component in bill["components"]:
        for reference in component.get("externalReferences", []):
            reference["url"] = component["purl"]
    return bill


if __name__ == "__main__":
    file = Path(sys.argv[1])
    bill = without_addresses(json.loads(file.read_text()))
    file.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")
    print(f"{file}: {len(bill['components'])} components")

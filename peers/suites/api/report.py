"""Tells the results of a JUnit report in the form of the other checks: `ok ROUTE` or `FAILED ROUTE: why`."""

import sys
import xml.etree.ElementTree as ElementTree

for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    name = case.get("name")
    faults = [*case.iter("failure"), *case.iter("error")]
    if not faults:
        print(f"ok {name}")
    for fault in faults:
        text = (fault.text or fault.get("message") or "").strip()
        print(f"FAILED {name}:")
        print("\n".join("   | " + line for line in text.splitlines()[:40]))

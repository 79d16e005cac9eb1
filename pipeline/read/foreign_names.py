"""Names that other software gives to ids and parents, and columns that show another shape of hierarchy.

They are used in hints only: what a column means is said by the person who uploads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PAIRS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Darwin Core", ("taxonID", "dwc:taxonID"), ("parentNameUsageID", "dwc:parentNameUsageID")),
    ("Darwin Core events", ("eventID",), ("parentEventID",)),
    ("Catalogue of Life", ("col:ID",), ("col:parentID",)),
    ("ITIS", ("tsn",), ("parent_tsn",)),
    ("NCBI", ("tax_id",), ("parent tax_id", "parent_tax_id")),
    ("WordPress posts", ("ID", "post_id"), ("post_parent",)),
    ("WordPress terms", ("term_id", "tid", "term_taxonomy_id", "category_id", "cat_id"), ("parent", "category_parent")),
    ("shops", ("entity_id", "id_category", "category_id", "SKU"), ("id_parent", "parent_category", "parent_sku", "parent")),
    ("Jira", ("Issue key", "Issue id", "Key"), ("Parent key", "Parent", "Parent id", "Custom field (Parent Link)",
        "Epic Link")),
    ("GitHub", ("number", "node_id", "id"), ("parent", "parent_number", "parent_issue_url")),
    ("GitLab", ("iid", "id", "Issue ID"), ("parent_iid", "parent_id")),
    ("Asana, ClickUp", ("Task ID", "task_id", "gid"), ("Parent task", "Parent task ID", "Parent ID")),
    ("Azure DevOps, Linear, Notion", ("ID", "Work Item ID"), ("Parent", "Parent issue", "Parent item")),
    ("LDAP", ("distinguishedName", "dn", "uid", "sAMAccountName"), ("manager",)),
    ("OWL and SKOS", ("Class ID", "iri", "uri", "concept", "@id"), ("Parents", "subClassOf", "rdfs:subClassOf", "broader",
        "skos:broader", "is_a")),
    ("SharePoint", ("UniqueId", "ID"), ("ParentUniqueId", "Parent item", "ParentItemID", "ParentFolder")),
    ("Salesforce", ("Account ID", "AccountId", "Id"), ("Parent Account ID", "ParentAccountId", "ParentId")),
    ("Odoo", ("External ID", "id", ".id"), ("Parent/External ID", "parent_id/id", "parent_id/.id", "Parent/ID")),
    ("Microsoft Project", ("Unique ID", "UID"), ("Parent Unique ID", "Parent UID", "Outline Parent")),
    ("ServiceNow", ("sys_id",), ("parent", "parent.sys_id", "parent_sys_id")),
    ("staff lists", ("Employee ID", "employee_id", "EmployeeNumber", "emp_no", "personnel number"), ("Manager ID", "manager_id",
        "Supervisor ID", "reports_to", "Reports To")),
    ("processes", ("pid",), ("ppid",)),
    ("jsTree, Plotly and others", ("id", "ids", "key", "code", "uuid", "guid", "node_id", "identifier", "_id"),
        ("parent", "parents", "parent_key", "parent_code", "parent_uuid", "parent_guid", "parent_node", "pid", "parent_ref")),
)  # fmt: skip
"""(Software, names of its ids, names of its parents), the likelier ones first."""


def letters_of(name: str) -> str:
    """Return the letters and digits of a name, without regard to case."""
    return re.sub(r"[\W_]", "", name).casefold()


def known_pair(names: Sequence[str]) -> tuple[str, str]:
    """Return which of a file's columns are the id and the parent in other software; an empty text where none is.

    The first software with both is taken, else the first with the parent, else the first with the id.
    """
    by_letters = {letters_of(name): name for name in reversed(names)}
    found = [(_first(ids, by_letters), _first(parents, by_letters)) for _, ids, parents in PAIRS]
    both = next((pair for pair in found if all(pair) and pair[0] != pair[1]), None)
    return both or (next((one for one, _ in found if one), ""), next((other for _, other in found if other), ""))


def _first(known: Sequence[str], by_letters: dict[str, str]) -> str:
    return next((by_letters[letters_of(name)] for name in known if letters_of(name) in by_letters), "")

"""What every list of Azure ML has in common: view type, order, page, continuation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.cloud.errors import BadRequestError
from local.cloud.resources import Resource

PAGE_SIZE = 100
VIEW_TYPES = ("ActiveOnly", "ArchivedOnly", "All")


@dataclass(frozen=True)
class Page:
    """One page, and the query parameters that ask for the next one (None on the last)."""

    items: Sequence[Resource]
    next_query: dict[str, str] | None


def by_view(resources: Sequence[Resource], query: Mapping[str, str]) -> list[Resource]:
    """Keep active, archived, or all resources, as `listViewType` says; Azure's default is ActiveOnly."""
    view = query.get("listViewType", "ActiveOnly")
    if view not in VIEW_TYPES:
        raise BadRequestError(f"listViewType is '{view}'; it must be one of {', '.join(VIEW_TYPES)}.")
    if view == "All":
        return list(resources)
    return [r for r in resources if bool(r.properties.get("isArchived")) == (view == "ArchivedOnly")]


def by_tags(resources: Sequence[Resource], query: Mapping[str, str]) -> list[Resource]:
    """Keep resources with a tag: `tag=name` or `tag=name=value`; `tags=a=1,b=2` asks for all of them."""
    wanted = [part for part in f"{query.get('tag', '')},{query.get('tags', '')}".split(",") if part]
    kept = list(resources)
    for part in wanted:
        name, has_value, value = part.partition("=")
        kept = [r for r in kept if _has_tag(r, name, value if has_value else None)]
    return kept


def _has_tag(resource: Resource, name: str, value: str | None) -> bool:
    tags = resource.properties.get("tags") or {}
    return name in tags and (value is None or str(tags[name]) == value)


def paginate(resources: Sequence[Resource], query: Mapping[str, str], default_order: str = "createdtime desc") -> Page:
    """Order, skip and cut.

    `$orderBy` is `createdtime` or `name`, with `asc` or `desc`. `$top` is the most that is answered in all; without
    it pages hold PAGE_SIZE items. `$skip` is either a number of items or the opaque continuation of an earlier page,
    which names an item, so that items added meanwhile neither repeat nor hide others.
    """
    ordered = _ordered(resources, query.get("$orderBy") or query.get("$orderby") or default_order)
    skip = query.get("$skip") or query.get("$skipToken") or ""
    if skip.startswith("after-"):
        last = int(skip.removeprefix("after-"))
        position = next((i for i, r in enumerate(ordered) if r.sequence == last), None)
        if position is None:
            raise BadRequestError(f"The continuation '{skip}' is no longer valid.")
        ordered = ordered[position + 1 :]
    elif skip:
        ordered = ordered[_number("$skip", skip) :]
    top = query.get("$top")
    if top is not None:
        return Page(ordered[: _number("$top", top)], None)
    page = ordered[:PAGE_SIZE]
    if len(ordered) <= PAGE_SIZE:
        return Page(page, None)
    return Page(page, {**query, "$skip": f"after-{page[-1].sequence}"})


def _ordered(resources: Sequence[Resource], order: str) -> list[Resource]:
    field, _, direction = order.strip().partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise BadRequestError(f"$orderBy is '{order}'; its direction must be asc or desc.")
    descending = direction.strip().lower() == "desc"
    match field.lower():
        case "createdtime" | "createdat" | "createdon":
            return sorted(resources, key=lambda r: r.sequence, reverse=descending)
        case "updatedtime" | "modifiedtime" | "modifiedat":
            return sorted(resources, key=lambda r: (r.modified, r.sequence), reverse=descending)
        case "name":
            return sorted(resources, key=lambda r: r.name, reverse=descending)
    raise BadRequestError(f"$orderBy is '{order}'; the local cloud orders by createdtime, updatedtime or name.")


def _number(name: str, text: str) -> int:
    if not text.isdigit():
        raise BadRequestError(f"{name} is '{text}'; it must be a whole number.")
    return int(text)

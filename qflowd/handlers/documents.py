"""The configuration in force, its reload, and the OpenAPI document made from the routes."""

from __future__ import annotations

import html
import inspect
import re
from typing import Any

import msgspec

from qflowd import __version__
from qflowd.config import public_view
from qflowd.handlers.base import Handler, ProblemError
from qflowd.model import Alert, Event, Execution, LogLine, Problem, Rule, Step, ValidationRun


class Configuration(Handler):
    """The configuration in force, without its secrets."""

    roles = {"GET": "admin"}

    def get(self) -> None:
        self.answer(public_view(self.context.config))


class Reload(Handler):
    """What SIGHUP does, with what changed or why not; ``?dryRun=true`` only tells what would."""

    roles = {"POST": "admin"}

    async def post(self) -> None:
        dry = self.get_query_argument("dryRun", "false")
        if dry not in ("true", "false"):
            raise ProblemError(400, "a parameter is wrong", [Problem("dryRun", "expected true or false")])
        outcome = await (self.context.compare() if dry == "true" else self.context.reload())
        if outcome["ok"]:
            self.answer(outcome)
            return
        problems = [Problem(f"{one['file']}:{one['line']} {one['path']}", one["message"]) for one in outcome["mistakes"]]
        raise ProblemError(400, "the new configuration is wrong; the one before stays in force", problems)


GROUP = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
"""A group in the pattern of a route."""


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of what ``routes`` registers, shapes from the types in ``model``."""
    from qflowd.handlers.routes import API, METHODS

    named = {one for _, handler in API for one in (*handler.answers.values(), *handler.bodies.values())}
    types = [Alert, Event, Execution, LogLine, Problem, Rule, Step, ValidationRun, *sorted(named, key=lambda one: one.__name__)]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for pattern, handler in API:
        names = iter(["id", "verb"])
        path = pattern
        while (bare := GROUP.sub(lambda _: "{" + next(names) + "}", path, count=1)) != path:  # noqa: B023 -- called at once
            path = bare
        entry: dict[str, Any] = {}
        if parameters := re.findall(r"\{(\w+)\}", path):
            entry["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
            ]
        for method in METHODS:
            role = handler.roles.get(method.upper())
            if role is None:
                continue
            entry[method] = {
                "summary": (inspect.getdoc(handler) or handler.__name__).splitlines()[0],
                "operationId": f"{handler.__module__.rsplit('.', 1)[-1]}{handler.__name__}{method.capitalize()}",
                "x-role": role,
                "responses": {
                    "2XX": {"description": "done"},
                    "4XX": {
                        "description": "refused, with the reason",
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
                    },
                },
            }
            if (shape := handler.answers.get(method.upper())) is not None:
                entry[method]["responses"]["2XX"]["content"] = _json(shape)
            if (shape := handler.bodies.get(method.upper())) is not None:
                entry[method]["requestBody"] = {"required": True, "content": _json(shape)}
            if role != "open":
                entry[method]["security"] = [{"token": []}, {}]
        paths[path] = entry
    components["ProblemDetails"] = {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Problem"}},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "qflowd", "version": __version__, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _json(shape: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}}


class OpenAPI(Handler):
    """The OpenAPI document."""

    roles = {"GET": "open"}

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(openapi()))


class Docs(Handler):
    """The OpenAPI document as a readable page."""

    roles = {"GET": "open"}

    def get(self) -> None:
        rows = "".join(
            f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td>"
            f"<td>{html.escape(what['x-role'])}</td><td>{html.escape(what['summary'])}</td></tr>"
            for path, entry in openapi()["paths"].items()
            for method, what in entry.items()
            if method != "parameters"
        )
        self.finish(
            f"<!doctype html><html lang=en><meta charset=utf-8><title>qflowd API</title><h1>qflowd {__version__}: HTTP API</h1>"
            "<p>The machine's form: <a href=openapi.json>openapi.json</a></p>"
            f"<table><thead><tr><th>Method<th>Path<th>Role<th>What</thead><tbody>{rows}</tbody></table></html>"
        )

"""Every route of the daemon, and the rule that none is registered without the role it needs."""

from __future__ import annotations

from typing import Any

from tornado import web

from qflowd.handlers import (
    alerts,
    base,
    dashboard,
    documents,
    events,
    executions,
    explain,
    health,
    notifications,
    page,
    query,
    versions,
)  # fmt: skip

METHODS = ("get", "post", "put", "delete", "patch")
ROLES = frozenset({"open", "viewer", "operator", "admin", "source", "engine"})

API: list[tuple[str, type[base.Handler]]] = [
    (r"/healthz", health.Live),
    (r"/readyz", health.Ready),
    (r"/metrics", health.Metrics),
    (r"/", page.Root),
    (r"/dashboard", page.Dashboard),
    (r"/static/(.+)", page.Asset),
    (r"/api/v1/dashboard/stats", dashboard.Stats),
    (r"/api/v1/dashboard/data", dashboard.Data),
    (r"/api/v1/dashboard/alerts", alerts.Rules),
    (r"/api/v1/dashboard/alerts/([^/]+(?:/[^/]+)?)/versions", versions.Versions),
    (r"/api/v1/dashboard/alerts/([^/]+(?:/[^/]+)?)/diff", versions.Diff),
    (r"/api/v1/dashboard/alerts/([^/]+(?:/[^/]+)?)/rollback", versions.Rollback),
    (r"/api/v1/dashboard/alerts/([^/]+(?:/[^/]+)?)", alerts.OneRule),
    (r"/api/v1/alerts/active", alerts.Active),
    (r"/api/v1/alerts/history", alerts.History),
    (r"/api/v1/alerts/([^/]+)/(ack|unack)", alerts.Acknowledge),
    (r"/api/v1/alerts/(.+)/explain", explain.Explain),
    (r"/api/v1/notifications", notifications.Notifications),
    (r"/api/v1/executions", executions.Executions),
    (r"/api/v1/executions/(.+)", executions.OneExecution),
    (r"/api/v1/flows", executions.Flows),
    (r"/api/v1/flows/(.+)", executions.OneFlow),
    (r"/api/v1/validations", dashboard.Validations),
    (r"/api/v1/modules", dashboard.Modules),
    (r"/api/v1/event-log", dashboard.EventLog),
    (r"/api/v1/clients", dashboard.Clients),
    (r"/api/v1/session", dashboard.Session),
    (r"/api/v1/events", events.Events),
    (r"/api/v1/query", query.Instant),
    (r"/api/v1/query_range", query.Range),
    (r"/api/v1/config", documents.Configuration),
    (r"/api/v1/config/reload", documents.Reload),
    (r"/api/v1/openapi.json", documents.OpenAPI),
    (r"/api/v1/docs", documents.Docs),
]


def register(handler: type[base.Handler]) -> None:
    """Refuse a handler that answers a method without naming a role for it. Raises ``TypeError``."""
    for method in METHODS:
        own = getattr(handler, method) is not getattr(web.RequestHandler, method)
        role = handler.roles.get(method.upper())
        if own and role not in ROLES:
            raise TypeError(f"{handler.__module__}.{handler.__name__}.{method} declares no role")


def routes() -> list[tuple[str, type[base.Handler]]]:
    """All routes, each checked by ``register``."""
    for _, handler in API:
        register(handler)
    return list(API)


def application(context: Any, extra: list[Any]) -> web.Application:
    """The HTTP application; ``extra`` are further rules, the WebSocket among them."""
    return web.Application(
        [*routes(), *extra],
        default_handler_class=base.NotFound,
        context=context,
        log_function=lambda handler: None,
    )

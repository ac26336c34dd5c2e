"""The WSGI application: `create_app(service)` puts the parts together, nothing else."""

from __future__ import annotations

from flask import Flask
from jinja2 import StrictUndefined

from tenantry.flows.service import Service
from tenantry.web import assets, bodies, errors, headers, login, ops, switches
from tenantry.web.api import billing, deployment, documentation, hooks
from tenantry.web.api import signup as signup_api
from tenantry.web.context import bind_service, start_request
from tenantry.web.operations import page
from tenantry.web.pages import account, confirm, reset, signup, status
from tenantry.web.pages import login as login_page
from tenantry.web.pages.formats import FILTERS

_BLUEPRINTS = (
    signup.blueprint,
    status.blueprint,
    account.blueprint,
    login_page.blueprint,
    reset.blueprint,
    confirm.blueprint,
    signup_api.blueprint,
    deployment.blueprint,
    documentation.blueprint,
    hooks.blueprint,
    billing.blueprint,
    ops.blueprint,
)


def create_app(service: Service) -> Flask:
    """The application that answers for `service`. Keeps no state of its own: run any number."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = bodies.LIMIT + 1  # where no route says otherwise
    app.url_map.merge_slashes = False  # its redirect would go where the Host header says
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(asset=assets.url_of, product=service.product)
    bind_service(app, service)
    app.before_request(start_request)
    switches.register(app)
    errors.register(app)
    headers.register(app)
    login.register(app)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    page(app.view_functions["static"])
    return app

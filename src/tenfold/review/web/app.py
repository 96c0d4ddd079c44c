"""The review page as an ASGI app: its API, its own files, its guard around all of it."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Response
from starlette.middleware import Middleware

from tenfold.core.workspace import Workspace
from tenfold.review.store import Store
from tenfold.review.web import lead_routes, queue_routes, session_routes
from tenfold.review.web.context import STATIC, PageSettings, Review
from tenfold.review.web.errors import add_error_answers, not_found
from tenfold.review.web.security import Guard

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json"}


def create_app(store: Store, workspace: Workspace, settings: PageSettings) -> FastAPI:
    """The page of one store. No addresses beyond those listed in its routes: no generated documentation."""
    review = Review(store, workspace, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        review.close()

    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan,
        middleware=[Middleware(Guard, place=settings.place)],
    )  # fmt: skip
    app.state.review = review
    add_error_answers(app)
    for routes in (session_routes, queue_routes, lead_routes):
        app.include_router(routes.router)
    _add_files(app, STATIC)
    return app


def _add_files(app: FastAPI, folder: Path) -> None:
    """The page's own files by their listed names: an address can name nothing else."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def answer(name: str) -> Response:
        if name not in files:
            raise not_found("there is no such file")
        kind = _TYPES.get(files[name].suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(files[name].read_bytes(), media_type=kind)

    @app.get("/")
    def index() -> Response:
        return answer("index.html")

    @app.get("/static/{name:path}")
    def file(name: str) -> Response:
        return answer(name)

"""Swagger UI and ReDoc from files of a package, so that they work without internet."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

ASSETS = "/docs/assets"
# The pages start themselves with an inline script; ReDoc searches in a worker made from a blob.
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " script-src 'self' 'unsafe-inline'; worker-src blob:; frame-ancestors 'none'"
)

# ReDoc shows its maker's logo from its maker's server: an image that does not load it leaves out.
LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
A_DAY = {"cache-control": "public, max-age=86400"}

router = APIRouter(include_in_schema=False)
always = APIRouter(include_in_schema=False)


@always.get("/favicon.ico")
async def icon() -> Response:
    """Every browser asks for it: there is none, and that is no error."""
    return Response(status_code=204, headers=A_DAY)


@router.get("/docs")
async def swagger(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
    )
    page.headers["content-security-policy"] = POLICY
    return page


@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    root = request.scope.get("root_path", "")
    page = get_redoc_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        redoc_js_url=f"{root}{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{root}{ASSETS}/favicon.png",
        with_google_fonts=False,
    )
    page.headers["content-security-policy"] = POLICY
    return page


@cache
def redoc_script() -> bytes:
    script = files("fastapi_offline").joinpath("static", "redoc.standalone.js").read_text("utf-8")
    return script.replace(LOGO, "data:,").encode()


# Before the folder that has the file as it came.
@router.get(f"{ASSETS}/redoc.standalone.js")
def redoc_without_logo() -> Response:
    return Response(redoc_script(), media_type="text/javascript", headers=A_DAY)


def install(app: FastAPI) -> None:
    app.include_router(router)
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]), name="docs-assets")

"""What a key may be allowed to do. A route asks for one: `Depends(requires("leads:read"))`."""

{% if cookiecutter.example %}
SCOPES: dict[str, str] = {
    "leads:read": "List and read leads",
    "leads:write": "Create, change and delete leads",
}
{% else %}
SCOPES: dict[str, str] = {}
{% endif %}

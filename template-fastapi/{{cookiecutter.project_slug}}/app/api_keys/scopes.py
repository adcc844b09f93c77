"""What a key may be allowed to do. A route asks for one: `Depends(requires("leads:read"))`."""

{% set webhooks = '"webhooks:admin": "Read webhook events, and replay them"' %}
{% if cookiecutter.example %}
SCOPES: dict[str, str] = {
    "leads:read": "List and read leads",
    "leads:write": "Create, change and delete leads",{{ "\n    " ~ webhooks ~ "," if cookiecutter.webhooks else "" }}
}
{% else %}
SCOPES: dict[str, str] = {{ "{" ~ (webhooks if cookiecutter.webhooks else "") ~ "}" }}
{% endif %}

# Made by scripts/sync.py from hooks/ and questions/: change those.
CONTEXT = r'''{{ cookiecutter | tojson }}'''
# {% raw %}
QUESTIONS = r'''{
  "stack": "fastapi",
  "questions": [
    {
      "name": "project_name",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": "{% from \"questions/checks.jinja\" import one_line %} {{ one_line(project_name, \"project name\") }}"
    },
    {
      "name": "project_slug",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": "{% from \"questions/checks.jinja\" import slug %} {{ slug(project_slug) }}"
    },
    {
      "name": "description",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": "{% from \"questions/checks.jinja\" import one_line %} {{ one_line(description, \"description\") }}"
    },
    {
      "name": "author_name",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": "{% from \"questions/checks.jinja\" import one_line %} {{ one_line(author_name, \"name of the author\") }}"
    },
    {
      "name": "author_email",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": "{% from \"questions/checks.jinja\" import email %} {{ email(author_email) }}"
    },
    {
      "name": "license",
      "choices": [
        "MIT",
        "BSD-3-Clause",
        "Apache-2.0",
        "GPL-3.0-or-later",
        "Proprietary"
      ],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "python_version",
      "choices": [
        "3.13",
        "3.14",
        "3.12",
        "3.11"
      ],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "database",
      "choices": [
        "sqlite",
        "postgresql"
      ],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "example",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "rate_limits",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "observability",
      "choices": [
        "metrics",
        "traces",
        "sentry"
      ],
      "multiselect": true,
      "when": "True",
      "validator": ""
    },
    {
      "name": "ci",
      "choices": [
        "github",
        "gitlab",
        "none"
      ],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "container",
      "choices": [],
      "multiselect": false,
      "when": "True",
      "validator": ""
    },
    {
      "name": "deploy",
      "choices": [
        "none",
        "aws"
      ],
      "multiselect": false,
      "when": "{{ container and database == 'postgresql' }}",
      "validator": "{% if deploy == \"aws\" and not container %} The deploy aws runs containers: say yes to container, or choose the deploy none. {% elif deploy == \"aws\" and database != \"postgresql\" %} The deploy aws keeps its data in PostgreSQL: choose the database postgresql, or the deploy none. {% endif %}"
    },
    {
      "name": "auth",
      "choices": [
        "users",
        "api_key",
        "none"
      ],
      "multiselect": false,
      "when": "{{ stack == 'fastapi' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_fastapi %} {{ only_fastapi(stack, \"auth\", auth == \"users\") }}"
    },
    {
      "name": "jobs",
      "choices": [],
      "multiselect": false,
      "when": "{{ stack == 'fastapi' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_fastapi %} {{ only_fastapi(stack, \"jobs\", not jobs) }}"
    },
    {
      "name": "webhooks",
      "choices": [
        "stripe",
        "twilio",
        "n8n",
        "standard",
        "hmac"
      ],
      "multiselect": true,
      "when": "{{ stack == 'fastapi' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_fastapi %} {{ only_fastapi(stack, \"webhooks\", not webhooks) }}"
    },
    {
      "name": "outbox",
      "choices": [],
      "multiselect": false,
      "when": "{{ stack == 'fastapi' and (jobs or webhooks) }}",
      "validator": "{% from \"questions/checks.jinja\" import only_fastapi %} {{ only_fastapi(stack, \"outbox\", not outbox) }} {% if stack == \"fastapi\" and outbox and not jobs and not webhooks %} The outbox is emptied by the workers of jobs and webhooks: say yes to jobs, choose webhooks, or say no to outbox. {% endif %}"
    },
    {
      "name": "broker",
      "choices": [
        "embedded",
        "redis",
        "rabbitmq"
      ],
      "multiselect": false,
      "when": "{{ stack == 'django' or jobs or webhooks }}",
      "validator": "{% if stack == \"fastapi\" and broker != \"embedded\" and not jobs and not webhooks %} The broker carries jobs and webhooks: say yes to jobs, choose webhooks, or choose the broker embedded. {% elif stack == \"fastapi\" and broker != \"embedded\" and deploy == \"aws\" %} The deploy aws of the FastAPI stack has no broker: choose the broker embedded, or the deploy none. {% endif %}"
    }
  ],
  "exclude": [
    "{#- container: the image, and its services on one machine -#}\n{% if not (container | default(true)) %}\n.dockerignore\nDockerfile\ncompose.yml\n{% endif %}",
    "{#- deploy_aws: what runs it on AWS -#}\n{% if (deploy | default(\"none\")) != \"aws\" %}\ndeploy\n{% endif %}",
    "{#- ci_github: the GitHub Actions workflow -#}\n{% if (ci | default(\"github\")) != \"github\" %}\n.github\n{% endif %}",
    "{#- ci_gitlab: the GitLab CI pipeline -#}\n{% if (ci | default(\"github\")) != \"gitlab\" %}\n.gitlab-ci.yml\n{% endif %}",
    "{#- example: leads, one real feature to copy from or to delete -#}\n{% if not (example | default(true)) %}\napp/leads\ntests/leads\nmigrations/versions/0003_leads.py\n{% endif %}",
    "{#- pagination: what lists share -#}\n{% if not (example | default(true)) and (auth | default(\"none\")) != \"users\" and (not (webhooks | default([])) or (auth | default(\"none\")) == \"none\") %}\napp/pagination.py\n{% endif %}",
    "{#- users: accounts of people -#}\n{% if (stack | default(\"fastapi\")) == \"fastapi\" and (auth | default(\"none\")) != \"users\" %}\napp/mail.py\napp/users\ntests/test_mail.py\ntests/users\nmigrations/versions/0002_users.py\n{% endif %}",
    "{#- terminal: what commands share -#}\n{% if (auth | default(\"none\")) != \"api_key\" and not (jobs | default(false)) and not (webhooks | default([])) %}\napp/terminal.py\ntests/test_terminal.py\n{% endif %}",
    "{#- api_keys: keys of programs -#}\n{% if (auth | default(\"none\")) != \"api_key\" %}\napp/api_keys\ntests/api_keys\nmigrations/versions/0002_api_keys.py\n{% endif %}",
    "{#- leads_of_users: each lead has an owner -#}\n{% if not (example | default(true)) or (auth | default(\"none\")) != \"users\" %}\ntests/leads/test_owners.py\n{% endif %}",
    "{#- leads_by_key: leads ask for scopes -#}\n{% if not (example | default(true)) or (auth | default(\"none\")) != \"api_key\" %}\ntests/leads/test_scopes.py\n{% endif %}",
    "{#- metrics: what is counted, for Prometheus -#}\n{% if \"metrics\" not in (observability | default([])) %}\napp/metrics.py\ntests/test_metrics.py\n{% endif %}",
    "{#- traces: spans, by OpenTelemetry -#}\n{% if \"traces\" not in (observability | default([])) %}\napp/traces.py\ntests/test_traces.py\n{% endif %}",
    "{#- sentry: errors, to Sentry -#}\n{% if \"sentry\" not in (observability | default([])) %}\napp/sentry.py\ntests/test_sentry.py\n{% endif %}",
    "{#- senders: what traces and sentry share -#}\n{% if not (\"traces\" in (observability | default([])) or \"sentry\" in (observability | default([]))) %}\napp/seldom.py\ntests/leaks.py\n{% endif %}",
    "{#- receiver: who is sent something in tests -#}\n{% if not (\"traces\" in (observability | default([])) or \"sentry\" in (observability | default([]))) and not (outbox | default(false)) %}\ntests/receiver.py\n{% endif %}",
    "{#- addresses: what rate limits and accounts share -#}\n{% if (stack | default(\"fastapi\")) == \"fastapi\" and not (rate_limits | default(false)) and (auth | default(\"none\")) != \"users\" %}\napp/addresses.py\ntests/test_addresses.py\n{% endif %}",
    "{#- rate_limits: how often one caller may ask -#}\n{% if not (rate_limits | default(false)) %}\napp/rate_limits.py\napp/rate_windows.py\ntests/test_rate_limits.py\n{% endif %}",
    "{#- rate_limits_of_users: people are counted as themselves -#}\n{% if not (rate_limits | default(false)) or (auth | default(\"none\")) != \"users\" %}\ntests/users/test_rate_limits.py\n{% endif %}",
    "{#- rate_limits_by_key: keys are counted as themselves -#}\n{% if not (rate_limits | default(false)) or (auth | default(\"none\")) != \"api_key\" %}\ntests/api_keys/test_rate_limits.py\n{% endif %}",
    "{#- jobs: durable background work -#}\n{% if (stack | default(\"fastapi\")) == \"fastapi\" and not (jobs | default(false)) and not (webhooks | default([])) %}\napp/handlers\napp/jobs\ntests/jobs\nmigrations/versions/0004_jobs.py\n{% endif %}",
    "{#- webhooks: events of senders, kept before they are answered -#}\n{% if not (webhooks | default([])) %}\napp/webhooks\ntests/webhooks\nmigrations/versions/0005_webhooks.py\n{% endif %}",
    "{#- outbox: signed messages to others -#}\n{% if not (outbox | default(false)) %}\napp/outbox\ntests/outbox\nmigrations/versions/0006_outbox.py\n{% endif %}",
    "{#- named_settings: what the settings of webhooks and of the outbox share -#}\n{% if not (webhooks | default([])) and not (outbox | default(false)) %}\napp/named_settings.py\n{% endif %}",
    "{#- standard_webhooks: signatures in both directions -#}\n{% if \"standard\" not in (webhooks | default([])) and not (outbox | default(false)) %}\napp/standard_webhooks.py\n{% endif %}",
    "{#- webhooks_stripe: signatures of Stripe -#}\n{% if \"stripe\" not in (webhooks | default([])) %}\napp/webhooks/signatures/stripe.py\ntests/webhooks/test_stripe.py\n{% endif %}",
    "{#- webhooks_twilio: signatures of Twilio -#}\n{% if \"twilio\" not in (webhooks | default([])) %}\napp/webhooks/signatures/twilio.py\ntests/webhooks/test_twilio.py\n{% endif %}",
    "{#- webhooks_n8n: what n8n authenticates with -#}\n{% if \"n8n\" not in (webhooks | default([])) %}\napp/webhooks/signatures/n8n.py\ntests/webhooks/test_n8n.py\n{% endif %}",
    "{#- webhooks_standard: signatures of Standard Webhooks -#}\n{% if \"standard\" not in (webhooks | default([])) %}\napp/webhooks/signatures/standard.py\ntests/webhooks/test_standard.py\n{% endif %}",
    "{#- webhooks_hmac: an HMAC in a header -#}\n{% if \"hmac\" not in (webhooks | default([])) %}\napp/webhooks/signatures/hmac.py\ntests/webhooks/test_hmac.py\n{% endif %}",
    "{#- webhooks_api: operating webhooks over HTTP -#}\n{% if not (webhooks | default([])) or (auth | default(\"none\")) == \"none\" %}\napp/webhooks/admin.py\napp/webhooks/schemas.py\ntests/webhooks/test_admin.py\n{% endif %}",
    "{#- celery: jobs by way of a broker -#}\n{% if (broker | default(\"embedded\")) == \"embedded\" %}\napp/jobs/celery.py\napp/jobs/celery_worker.py\ntests/jobs/test_celery.py\n{% endif %}",
    "{#- celery_redis: what Celery's Redis needs -#}\n{% if (broker | default(\"embedded\")) != \"redis\" %}\napp/jobs/redis.py\ntests/jobs/test_redis.py\n{% endif %}",
    "{#- jobs_metrics: how much work there is -#}\n{% if (not (jobs | default(false)) and not (webhooks | default([]))) or \"metrics\" not in (observability | default([])) %}\napp/jobs/metrics.py\ntests/jobs/test_metrics.py\n{% endif %}",
    "{#- embedded_postgresql: a PostgreSQL from a wheel, for development and tests without a server -#}\n{% if (database | default(\"sqlite\")) != \"postgresql\" %}\napp/embedded_postgresql.py\ntests/postgresql.py\n{% endif %}",
    "{#- migrations: belong to the user from the day the project is made, as handlers do -#}\n{% if (_copier_operation | default(\"copy\")) == \"update\" %}\napp/handlers/__init__.py\nmigrations/versions/0001_initial.py\nmigrations/versions/0002_api_keys.py\nmigrations/versions/0002_users.py\nmigrations/versions/0003_leads.py\nmigrations/versions/0004_jobs.py\nmigrations/versions/0005_webhooks.py\nmigrations/versions/0006_outbox.py\n{% endif %}"
  ],
  "message": "\n{% set folder = _copier_conf.dst_path | string %}\n{{ project_name }} is ready{{ \"\" if folder == \".\" else \" in \" ~ folder }}. Next:\n{% if folder != \".\" %}\n  cd {{ '\"' ~ folder ~ '\"' if \" \" in folder else folder }}\n{% endif %}\n  uv run just dev     starts it                    (no uv? pip install uv)\n  uv run just test    runs its tests\n  git init && git add . && git commit -m \"Start\"   (updates need git)\n{% if _copier_answers._commit is defined %}\nLater, uvx copier update brings what is new in the template.\n{% else %}\nThis copy of the template has no git history. For updates, add two lines to {{ _copier_conf.answers_file }}:\n_src_path (the template's repository) and _commit (the release you started from, such as v1.0.0).\n{% endif %}\n",
  "settings": {
    "trim_blocks": true,
    "lstrip_blocks": true,
    "keep_trailing_newline": true
  },
  "partials": {
    "questions/checks.jinja": "{#- What validators share. A macro renders nothing, or one sentence: what is wrong and what to do. Plain Jinja only. -#}\n\n{% macro one_line(answer, name) %}\n{% if not answer.strip() %}\nThe {{ name }} is empty: write one.\n{% elif answer.splitlines() != [answer] %}\nThe {{ name }} has a line break in it: write it on one line.\n{% elif answer != answer.strip() %}\nThe {{ name }} begins or ends with a space: remove it.\n{% elif answer | select(\"lt\", \" \") | list or answer | select(\"ge\", \"\\x7f\") | select(\"lt\", \"\\xa0\") | list or answer | select(\"ge\", \"\\ud800\") | select(\"lt\", \"\\ue000\") | list %}\nThe {{ name }} has a control character in it: remove it.\n{% elif answer | select(\"ge\", \"\\ufffe\") | list %}\nThe {{ name }} has an emoji or another rare character in it (beyond U+FFFD): leave it out.\n{% endif %}\n{% endmacro %}\n\n{% macro slug(answer) %}\n{% set letters = \"abcdefghijklmnopqrstuvwxyz\" %}\n{% set taken %}{% include \"questions/package-names.txt\" %}{% endset %}\n{% if not answer %}\nThe project slug is empty: write one such as \"my-service\".\n{% elif answer | reject(\"in\", letters ~ \"0123456789-\") | list %}\nThe project slug has a character in it that is no lower-case letter (a to z), digit or hyphen: write it like \"my-service\".\n{% elif answer[0] not in letters %}\nThe project slug does not start with a letter: write it like \"my-service\".\n{% elif answer[-1] == \"-\" %}\nThe project slug ends in a hyphen: remove it.\n{% elif \"--\" in answer %}\nThe project slug has two hyphens in a row: remove one.\n{% elif answer | length > 50 %}\nThe project slug is longer than 50 characters: shorten it.\n{% elif answer in taken.split() %}\nThe project slug is the name of a package that the project itself depends on: choose another, such as \"{{ answer }}-service\".\n{% endif %}\n{% endmacro %}\n\n{% macro email(answer) %}\n{% set letters = \"abcdefghijklmnopqrstuvwxyz0123456789\" %}\n{% set parts = answer.lower().split(\"@\") %}\n{% if parts | length != 2\n    or parts | reject | list\n    or parts[0] | reject(\"in\", letters ~ \".!#$%&'*+/=?^_`{|}~-\") | list\n    or parts[-1] | reject(\"in\", letters ~ \".-\") | list\n    or \".\" not in parts[-1]\n    or \"..\" in answer\n    or parts | select(\"in\", [parts[0].strip(\".\"), parts[-1].strip(\".-\")]) | list != parts %}\nThe e-mail of the author is none: write it like \"you@example.com\".\n{% endif %}\n{% endmacro %}\n\n{% macro only_django(stack, name, left_alone) %}\n{% if stack != \"django\" and not left_alone %}\nThe answer {{ name }} is of the Django stack: choose the stack django, or leave {{ name }} out.\n{% endif %}\n{% endmacro %}\n\n{% macro only_fastapi(stack, name, left_alone) %}\n{% if stack != \"fastapi\" and not left_alone %}\nThe answer {{ name }} is of the FastAPI stack: choose the stack fastapi, or leave {{ name }} out.\n{% endif %}\n{% endmacro %}\n",
    "questions/package-names.txt": "aiosqlite\nalembic\namqp\nannotated-doc\nannotated-types\nantlr4-python3-runtime\nanyio\nargon2-cffi\nargon2-cffi-bindings\nasgiref\nast-serialize\nasync-timeout\nasyncpg\nasyncpg-stubs\nattrs\naws-xray-sdk\nbilliard\nblinker\nboto3\nbotocore\ncelery\ncelery-types\ncertifi\ncffi\ncfn-lint\ncharset-normalizer\nclick\nclick-didyoumean\nclick-plugins\nclick-repl\ncolorama\ncoverage\ncron-descriptor\ncronsim\ncryptography\ndefusedxml\ndeprecated\ndiff-match-patch\ndjango\ndjango-allauth\ndjango-celery-beat\ndjango-cors-headers\ndjango-csp\ndjango-filter\ndjango-import-export\ndjango-simple-history\ndjango-storages\ndjango-stubs\ndjango-stubs-ext\ndjango-timezone-field\ndjango-unfold\ndjangorestframework\ndjangorestframework-simplejwt\ndjangorestframework-stubs\ndnspython\ndocker\ndrf-spectacular\ndrf-spectacular-sidecar\nemail-validator\net-xmlfile\nexecnet\nfastapi\nfastapi-offline\nfasteners\nfido2\nflask\nflask-cors\ngoogleapis-common-protos\ngraphql-core\ngreenlet\ngunicorn\nh11\nhttpcore2\nhttptools\nhttpx2\nhttpx2-jsfetch\nidna\ninflection\niniconfig\nitsdangerous\njinja2\njmespath\njoserfc\njsonpatch\njsonpath-ng\njsonpointer\njsonschema\njsonschema-path\njsonschema-specifications\nkombu\nlazy-object-proxy\nlibrt\nlimits\nmako\nmarkupsafe\nmoto\nmpmath\nmypy\nmypy-extensions\nnetworkx\noauthlib\nopenapi-schema-validator\nopenapi-spec-validator\nopenpyxl\nopentelemetry-api\nopentelemetry-exporter-http-transport\nopentelemetry-exporter-otlp-common\nopentelemetry-exporter-otlp-proto-common\nopentelemetry-exporter-otlp-proto-http\nopentelemetry-proto\nopentelemetry-sdk\nopentelemetry-semantic-conventions\npackaging\npathable\npathspec\npixeltable-pgserver\nplatformdirs\nplaywright\npluggy\nprometheus-client\nprompt-toolkit\nprotobuf\npsutil\npsycopg\npsycopg-binary\npsycopg-pool\npwdlib\npy-partiql-parser\npycparser\npydantic\npydantic-core\npydantic-settings\npygments\npyjwt\npyparsing\npytest\npytest-django\npytest-xdist\npython-crontab\npython-dateutil\npython-dotenv\npython-multipart\npywin32\npyyaml\nqrcode\nredis\nreferencing\nregex\nrequests\nresponses\nrfc3339-validator\nrpds-py\nruff\nrust-just\ns3transfer\nsentry-sdk\nsix\nsqlalchemy\nsqlparse\nstarlette\nstructlog\nsympy\ntablib\ntruststore\ntypes-django-filter\ntypes-pyyaml\ntyping-extensions\ntyping-inspection\ntypst\ntzdata\ntzlocal\nuritemplate\nurllib3\nuvicorn\nuvloop\nvine\nwatchfiles\nwcwidth\nwebsockets\nwerkzeug\nwhitenoise\nwrapt\nxmltodict\n"
  }
}'''

"""What the answers mean: refusals, pieces left out, what is remembered. The same as copier makes of them."""

import json
from collections.abc import Mapping
from typing import Any, TypedDict

import jinja2

ANSWERS_FILE = ".copier-answers.yml"


class Question(TypedDict):
    name: str
    choices: list[str]
    multiselect: bool
    when: str
    validator: str


class Questionnaire(TypedDict):
    stack: str
    questions: list[Question]
    exclude: list[str]
    message: str
    settings: dict[str, bool]
    partials: dict[str, str]


def environment(questionnaire: Questionnaire) -> jinja2.Environment:
    """Jinja with copier's settings; `partials` are what templates include."""
    loader = jinja2.DictLoader(questionnaire["partials"])
    settings: dict[str, Any] = dict(questionnaire["settings"])
    return jinja2.Environment(undefined=jinja2.StrictUndefined, loader=loader, **settings)


def typed(questionnaire: Questionnaire, cookiecutter: Mapping[str, Any]) -> dict[str, Any]:
    """All answers, typed as copier types them: several choices come as comma text and become a list."""
    answers: dict[str, Any] = {"stack": questionnaire["stack"]}
    for question in questionnaire["questions"]:
        answer = cookiecutter[question["name"]]
        answers[question["name"]] = [one for one in answer.split(",") if one] if question["multiselect"] else answer
    return answers


def refusals(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> list[str]:
    """One sentence for each answer that is not accepted."""
    jinja = environment(questionnaire)
    sentences = []
    for question in questionnaire["questions"]:
        name, choices = question["name"], question["choices"]
        given = answers[name] if question["multiselect"] else [answers[name]]
        unknown = [one for one in given if choices and one not in choices]
        if unknown:
            sentences.append(f"Invalid choice for '{name}': {unknown[0]!r} is not in {choices}")
        elif sentence := jinja.from_string(question["validator"]).render(answers).strip():
            sentences.append(sentence)
    return sentences


def left_out(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> list[str]:
    """The paths of all pieces that the answers do not enable."""
    jinja = environment(questionnaire)
    entries = [jinja.from_string(entry).render(answers, _copier_operation="copy") for entry in questionnaire["exclude"]]
    return [line.strip() for line in "\n".join(entries).splitlines() if line.strip()]


def applicable(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers whose question applies; only these are remembered."""
    jinja = environment(questionnaire)
    hidden = {
        question["name"]
        for question in questionnaire["questions"]
        if jinja.from_string(question["when"]).render(answers).strip().lower() in {"", "0", "false", "no"}
    }
    return {name: answer for name, answer in answers.items() if name not in hidden}


def answers_file(remembered: Mapping[str, Any]) -> str:
    """YAML, because JSON values are YAML values."""
    lines = [f"{name}: {json.dumps(answer, ensure_ascii=False)}\n" for name, answer in remembered.items()]
    return "# Written by the template and read by copier update. Do not edit by hand.\n" + "".join(lines)


def next_steps(
    questionnaire: Questionnaire, answers: Mapping[str, Any], remembered: Mapping[str, Any], folder: str
) -> str:
    conf = {"dst_path": folder, "answers_file": ANSWERS_FILE}
    message = environment(questionnaire).from_string(questionnaire["message"])
    return message.render(answers, _copier_conf=conf, _copier_answers=remembered)

"""Where the template came from, as far as git knows: what `copier update` needs later."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

URL = re.compile(r"(\w[\w+.-]+:|[\w.-]+@)")  # https:, gh:, user@host; a drive letter is too short


def origin(questions: str, cookiecutter: Mapping[str, Any]) -> dict[str, str]:
    """What `copier update` needs: the commit and where to find it. Empty when the template has no git history."""
    if "_repo_dir" not in cookiecutter:  # cruft: it knows both, and works on a clone that it soon removes
        source, commit = cookiecutter.get("_template", ""), cookiecutter.get("_commit")
        return {"_commit": commit, "_src_path": source_for_copier(source)} if commit else {}
    folder = template_folder(questions, cookiecutter)
    return facts(folder.parent, cookiecutter["_template"]) if folder else {}


def template_folder(questions: str, cookiecutter: Mapping[str, Any]) -> Path | None:
    """The template's own folder, or None when it cannot be found for certain.

    cookiecutter hands over a relative path as it was typed, and nothing that says relative to what. So this looks in
    all likely places for the folder with this very hook in it.
    """
    output, given = Path(cookiecutter["_output_dir"]), str(cookiecutter["_repo_dir"])
    starts = [output, *(Path(os.environ[name]) for name in ["PWD"] if name in os.environ), *output.parents]
    working_folder_of_cookiecutter = Path(f"/proc/{os.getppid()}/cwd")  # Linux; it is the template while hooks run
    for candidate in [working_folder_of_cookiecutter, *(start / given for start in starts)]:
        hook = candidate / "hooks" / "pre_gen_project.py"
        if hook.is_file() and questions in hook.read_text("utf-8"):
            return candidate.resolve()
    return None


def facts(repository: Path, template: str) -> dict[str, str]:
    """A clone's remote is worth more than its place on this machine, unless the commit was never pushed."""
    if not (repository / ".git").exists():  # an unpacked archive, perhaps inside another repository
        return {}
    commit = git(repository, "describe", "--tags", "--always")
    if not commit:
        return {}
    remote = git(repository, "config", "--get", "remote.origin.url") or ""
    shared = URL.match(template) or git(repository, "for-each-ref", "--contains", "HEAD", "refs/remotes")
    source = source_for_copier(remote) if URL.match(remote) and shared else str(repository)
    return {"_commit": commit, "_src_path": source}


def git(repository: Path, *arguments: str) -> str | None:
    """What git says, or None when it fails or is missing; never about a repository further up."""
    command = ["git", f"--git-dir={repository / '.git'}", *arguments]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def source_for_copier(url: str) -> str:
    """The URL without secrets, in a form that copier takes for a git repository. A path stays as it is."""
    if not URL.match(url):
        return url
    scheme, separator, rest = url.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        user, at, host = host.rpartition("@")
        if "ssh" in scheme:
            user = user.partition(":")[0]
        else:
            user = at = ""
            path = path.partition("?")[0].partition("#")[0]
        url = f"{scheme}://{user}{at}{host}{slash}{path}"
    known = ("git@", "git://", "git+", "https://github.com/", "https://gitlab.com/")
    return url if url.startswith(known) or url.endswith(".git") else f"git+{url}"

"""Before generation: refuse what cannot become a good project, decide what goes into it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


PLAN = ".twostacks-plan.json"  # read and removed by the hook after generation
SAME_MOMENT = 100_000_000  # nanoseconds between two folders that one mkdir makes on a busy machine
FINISH = """
import pathlib, sys, time
project, *parents = map(pathlib.Path, sys.argv[1:])
for _ in range(2000):
    if not project.exists():
        break
    time.sleep(0.001)
try:
    for parent in parents:
        parent.rmdir()
except OSError:
    pass
"""


def before(questions: str, context: str) -> int:
    """Runs in the new project's folder, which cookiecutter has made; returns the exit status."""
    questionnaire: Questionnaire = json.loads(questions)
    cookiecutter: dict[str, Any] = json.loads(context)
    project = Path.cwd()
    answers = typed(questionnaire, cookiecutter)
    sentences = refusals(questionnaire, answers)
    if any(project.iterdir()):
        sentences.append(
            f"The folder {project.name} already holds something and was left as it is: "
            'bring a project up to date with "uvx copier update", or choose another project slug.'
        )
    if sentences:
        print(*sentences, sep="\n", file=sys.stderr)
        remove_later(project, folders_made_with(project, Path(cookiecutter.get("_output_dir", project.parent))))
        return 1
    remembered = origin(questions, cookiecutter) | applicable(questionnaire, answers)
    plan = {
        "left_out": left_out(questionnaire, answers),
        "next_steps": next_steps(questionnaire, answers, remembered, folder_to_enter(project, cookiecutter)),
    }
    (project / ANSWERS_FILE).write_text(answers_file(remembered), encoding="utf-8", newline="\n")
    (project / PLAN).write_text(json.dumps(plan), encoding="utf-8")
    return 0


def folder_to_enter(project: Path, cookiecutter: Mapping[str, Any]) -> str:
    in_working_folder = cookiecutter.get("_output_dir") == os.environ.get("PWD")
    return project.name if in_working_folder else str(project)


def folders_made_with(project: Path, output: Path) -> list[Path]:
    """The parents that cookiecutter made together with the project's folder, the innermost first.

    Nothing says which these are. But a folder that has just been made holds nothing else, and it and its own parent
    changed in the same moment as the project's folder.
    """
    born = project.stat().st_mtime_ns
    if any(project.iterdir()) or time.time_ns() - born > 10_000_000_000:
        return []
    made: list[Path] = []
    for folder in sorted({*project.parents, output, *output.parents}, key=lambda one: -len(one.parts)):
        moments = [one.stat().st_mtime_ns - born for one in (folder, folder.parent)]
        if all(abs(moment) < SAME_MOMENT for moment in moments) and set(folder.iterdir()) <= {project, *made}:
            made.append(folder)
    return made


def remove_later(project: Path, parents: list[Path]) -> None:
    """cookiecutter removes the project's folder after this hook has ended, but not the parents it made for it."""
    if parents:
        subprocess.Popen([sys.executable, "-c", FINISH, str(project), *map(str, parents)], cwd=project.anchor)


if __name__ == "__main__":
    sys.exit(before(QUESTIONS, CONTEXT))
# {% endraw %}

# Made by scripts/sync.py from hooks/ and questions/: change those.
CONTEXT = r'''{{ cookiecutter | tojson }}'''
# {% raw %}
QUESTIONS = r'''{
  "stack": "django",
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
      "name": "broker",
      "choices": [
        "embedded",
        "redis",
        "rabbitmq"
      ],
      "multiselect": false,
      "when": "{{ stack == 'django' or jobs or webhooks }}",
      "validator": "{% if stack == \"fastapi\" and broker != \"embedded\" and not jobs and not webhooks %} The broker carries jobs and webhooks: say yes to jobs, choose webhooks, or choose the broker embedded. {% elif stack == \"fastapi\" and broker != \"embedded\" and deploy == \"aws\" %} The deploy aws of the FastAPI stack has no broker: choose the broker embedded, or the deploy none. {% endif %}"
    },
    {
      "name": "login",
      "choices": [
        "email",
        "username"
      ],
      "multiselect": false,
      "when": "{{ stack == 'django' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_django %} {{ only_django(stack, \"login\", login == \"email\") }}"
    },
    {
      "name": "api_auth",
      "choices": [
        "token",
        "jwt"
      ],
      "multiselect": false,
      "when": "{{ stack == 'django' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_django %} {{ only_django(stack, \"api_auth\", api_auth == \"token\") }}"
    },
    {
      "name": "accounts",
      "choices": [],
      "multiselect": false,
      "when": "{{ stack == 'django' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_django %} {{ only_django(stack, \"accounts\", not accounts) }}"
    },
    {
      "name": "admin_theme",
      "choices": [
        "django",
        "unfold"
      ],
      "multiselect": false,
      "when": "{{ stack == 'django' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_django %} {{ only_django(stack, \"admin_theme\", admin_theme == \"django\") }} {% if admin_theme == \"unfold\" and python_version == \"3.11\" %} The admin theme unfold needs Python 3.12 or newer: choose another python_version, or the admin theme django. {% endif %}"
    },
    {
      "name": "admin_extras",
      "choices": [
        "import_export",
        "history"
      ],
      "multiselect": true,
      "when": "{{ stack == 'django' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_django %} {{ only_django(stack, \"admin_extras\", admin_extras == [\"import_export\", \"history\"]) }}"
    },
    {
      "name": "media",
      "choices": [
        "local",
        "s3"
      ],
      "multiselect": false,
      "when": "{{ stack == 'django' }}",
      "validator": "{% from \"questions/checks.jinja\" import only_django %} {{ only_django(stack, \"media\", media == \"local\") }} {% if stack == \"django\" and media == \"local\" and deploy == \"aws\" %} The deploy aws runs containers, and what they write is gone when they stop: choose the media s3, or the deploy none. {% endif %}"
    }
  ],
  "exclude": [
    "{#- container: the image, and its services on one machine -#}\n{% if not (container | default(true)) %}\n.dockerignore\nDockerfile\ncompose.yml\n{% endif %}",
    "{#- deploy_aws: what runs it on AWS -#}\n{% if (deploy | default(\"none\")) != \"aws\" %}\ndeploy\n{% endif %}",
    "{#- ci_github: the GitHub Actions workflow -#}\n{% if (ci | default(\"github\")) != \"github\" %}\n.github\n{% endif %}",
    "{#- ci_gitlab: the GitLab CI pipeline -#}\n{% if (ci | default(\"github\")) != \"gitlab\" %}\n.gitlab-ci.yml\n{% endif %}",
    "{#- schools: the example, one real feature to copy from or to delete -#}\n{% if not (example | default(true)) %}\napps/schools\ntests/browser.py\ntests/schools\n{% endif %}",
    "{#- email_login: users without a user name -#}\n{% if (login | default(\"email\")) != \"email\" %}\napps/users/managers.py\n{% endif %}",
    "{#- celery_redis: what Celery's Redis needs -#}\n{% if (broker | default(\"embedded\")) != \"redis\" %}\napps/jobs/redis.py\ntests/jobs/test_redis.py\n{% endif %}",
    "{#- token: one API token for each user -#}\n{% if (api_auth | default(\"token\")) != \"token\" %}\napps/users/bearer.py\napps/users/revocation.py\napps/users/token.py\ntests/users/test_token.py\n{% endif %}",
    "{#- jwt: short-lived API tokens with rotation -#}\n{% if (api_auth | default(\"token\")) != \"jwt\" %}\napps/users/jwt.py\napps/users/keys.py\ntests/users/test_jwt.py\n{% endif %}",
    "{#- accounts: sign-up, verification, reset, social login, MFA -#}\n{% if not (accounts | default(false)) %}\napps/accounts\nconfig/accounts.py\ntests/accounts\n{% endif %}",
    "{#- accounts_token: the API token for who logged in headless -#}\n{% if not (accounts | default(false)) or (api_auth | default(\"token\")) != \"token\" %}\napps/accounts/token.py\ntests/accounts/test_token.py\n{% endif %}",
    "{#- accounts_jwt: the pair of JWTs for who logged in headless -#}\n{% if not (accounts | default(false)) or (api_auth | default(\"token\")) != \"jwt\" %}\napps/accounts/jwt.py\ntests/accounts/test_jwt.py\n{% endif %}",
    "{#- import_export: import and export of tables in the admin -#}\n{% if \"import_export\" not in (admin_extras | default([\"import_export\", \"history\"])) %}\napps/transfers\ntests/transfers\napps/users/resources.py\n{% endif %}",
    "{#- history: who changed what, with diff and revert -#}\n{% if \"history\" not in (admin_extras | default([\"import_export\", \"history\"])) %}\napps/history\ntests/history\napps/users/migrations/0002_history.py\napps/users/history.py\n{% endif %}",
    "{#- bulk_rows: by which import_export tells history what it wrote -#}\n{% if not (admin_extras | default([\"import_export\", \"history\"])) %}\napps/core/signals.py\n{% endif %}",
    "{#- schools_transfers: what the example imports and exports -#}\n{% if not (example | default(true)) or \"import_export\" not in (admin_extras | default([\"import_export\", \"history\"])) %}\napps/schools/resources.py\ntests/schools/test_transfers.py\ntests/transfers/test_browser.py\n{% endif %}",
    "{#- schools_history: the history of the example's rows -#}\n{% if not (example | default(true)) or \"history\" not in (admin_extras | default([\"import_export\", \"history\"])) %}\napps/schools/migrations/0002_history.py\ntests/schools/test_history.py\napps/schools/history.py\ntests/history/test_browser.py\n{% endif %}",
    "{#- schools_history_of_imports: where both meet -#}\n{% if not (example | default(true)) or (admin_extras | default([\"import_export\", \"history\"])) | length < 2 %}\ntests/schools/test_history_of_imports.py\n{% endif %}",
    "{#- unfold: the look of the admin -#}\n{% if (admin_theme | default(\"django\")) != \"unfold\" %}\napps/jobs/unfold.py\nconfig/unfold.py\n{% endif %}",
    "{#- bucket: files in an S3 bucket -#}\n{% if (media | default(\"local\")) != \"s3\" %}\napps/core/bucket.py\ntests/core/test_bucket.py\n{% endif %}",
    "{#- observability_django: what the running service tells, and the names that it goes by -#}\n{% if not (observability | default([])) %}\napps/core/routes.py\ntests/core/observed.py\ntests/core/observed_settings.py\ntests/core/observed_urls.py\n{% endif %}",
    "{#- metrics_django: numbers for Prometheus -#}\n{% if \"metrics\" not in (observability | default([])) %}\napps/core/metrics.py\ntests/core/test_metrics.py\n{% endif %}",
    "{#- traces_django: OpenTelemetry -#}\n{% if \"traces\" not in (observability | default([])) %}\napps/core/traces.py\ntests/core/test_traces.py\n{% endif %}",
    "{#- sentry_django: errors to Sentry -#}\n{% if \"sentry\" not in (observability | default([])) %}\napps/core/sentry.py\ntests/core/test_sentry.py\n{% endif %}",
    "{#- rate_limits_django: how often one caller may ask the API -#}\n{% if not (rate_limits | default(false)) %}\napps/core/rate_limits.py\napps/core/rate_windows.py\ntests/core/test_rate_limits.py\n{% endif %}",
    "{#- embedded_postgresql_django: a PostgreSQL from a wheel, for development and tests without a server -#}\n{% if (database | default(\"sqlite\")) != \"postgresql\" %}\napps/core/embedded_postgresql.py\ntests/postgresql.py\n{% endif %}",
    "{#- migrations_django: belong to the user from the day the project is made -#}\n{% if (_copier_operation | default(\"copy\")) == \"update\" %}\napps/jobs/migrations/0001_initial.py\napps/schools/migrations/0001_initial.py\napps/schools/migrations/0002_history.py\napps/transfers/migrations/0001_initial.py\napps/users/migrations/0001_initial.py\napps/users/migrations/0002_history.py\n{% endif %}"
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

"""deploy=aws: every distinct template is applied to moto, a stand-in for AWS in this process, and what is then there
is looked at as an attacker would.

moto does not know all types of resources: NOT_APPLIED names those, and what they say is read from the template instead.
Whether AWS itself takes the templates, nothing here can say; cfn-lint, which has AWS's schemas, reads them in layer 1.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import boto3  # type: ignore[import-untyped]  # it ships no types
import pytest
from moto import mock_aws

from proof import cloudformation
from proof.files import rendered_tree, template_files
from proof.generate import ROOT
from proof.questions import Questionnaire

# moto warns of what it does not know whenever it reads a template; a test counts that.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse")

QUESTIONNAIRE = Questionnaire(ROOT)
TEMPLATE, PAGE = "deploy/aws/template.yaml", "deploy/aws/README.md"
REGION = "eu-central-1"
SECRET = "only-this-test-has-it"  # noqa: S105 (it opens nothing)
# Settings that are secrets, by the parameters that they are given in.
GIVEN_SECRETS = {
    "EmailUrl": f"smtp://me:{SECRET}@mail.example.com:587",
    "WebhookSources": json.dumps({"stripe": {"type": "stripe", "secrets": [SECRET]}}, indent=2),
    "OutboxTargets": json.dumps({"n8n": {"url": "https://n8n.example.com", "secrets": [SECRET]}}),
}
NOT_APPLIED = {
    "AWS::AmazonMQ::Broker",
    "AWS::CloudWatch::Alarm",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::S3::BucketPolicy",
    "AWS::SecretsManager::Secret",
}
# AWS has no narrower resource for these.
FOR_ALL_RESOURCES = {
    "ecr:GetAuthorizationToken",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
# What AWS takes without a bucket in between.
MOST_BYTES = 51_200
DIFFERS_BY = {"fastapi": ("auth", "jobs", "webhooks", "outbox"), "django": ("broker",)}
SERVING = {"Serving": "v1"}
WITH_NAT = {"OutgoingTraffic": "nat"}

Tree = dict[str, str]
Json = dict[str, Any]


def trees() -> Iterator[tuple[str, Tree]]:
    """The files of a project for each distinct template."""
    for stack in QUESTIONNAIRE.stacks:
        [file] = [file for file in template_files(QUESTIONNAIRE, stack) if file.path == TEMPLATE]
        text = QUESTIONNAIRE.environment.from_string(file.body or "")
        names = sorted(name for name in file.answers if not QUESTIONNAIRE.questions[name].free_text)
        seen = set()
        for values in product(*(QUESTIONNAIRE.questions[name].values for name in names)):
            given = {"stack": stack, "project_slug": "my-service", "deploy": "aws"} | dict(
                zip(names, values, strict=True)
            )
            answers = QUESTIONNAIRE.accepted(given)
            if answers and answers["deploy"] == "aws":
                template = text.render(cookiecutter=QUESTIONNAIRE.for_templates(answers))
                if template not in seen:
                    seen.add(template)
                    yield "-".join([stack, *words(stack, answers)]), rendered_tree(QUESTIONNAIRE, answers)


def words(stack: str, answers: Json) -> Iterator[str]:
    """What tells the template of these answers from others; yes and any choice of several by their question."""
    for name in DIFFERS_BY[stack]:
        if answers[name]:
            choice = QUESTIONNAIRE.questions[name].choices and not QUESTIONNAIRE.questions[name].multiple
            yield answers[name] if choice else name


TREES = dict(trees())
# Each in production, and the ways to begin and to go out with one of them.
APPLIED: list[tuple[str, Mapping[str, str]]] = [
    *((name, SERVING) for name in TREES),
    ("fastapi-users", {}),
    ("fastapi-users", WITH_NAT),
]


@dataclass
class Cloud:
    """What there is once a template was applied."""

    parameters: Mapping[str, str]
    template: Json
    resources: dict[str, str]  # type and physical id, by logical id
    ids: dict[str, str]
    ignored: set[str]  # types
    tasks: dict[str, Json]
    services: dict[str, Json]
    groups: dict[str, Json]
    databases: list[Json]
    listeners: list[Json]
    balancers: list[Json]
    outputs: dict[str, str]

    def of_type(self, kind: str) -> dict[str, Json]:
        """The properties of the template's resources of one type."""
        found = self.template["Resources"].items()
        return {name: one.get("Properties", {}) for name, one in found if one["Type"] == kind}


def has_mail(template: Json) -> bool:
    return "EmailUrl" in template["Parameters"]


def apply(tree: Tree, parameters: Mapping[str, str]) -> Cloud:
    def client(service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    given = {
        "Version": "v1",
        "AlarmEmail": "you@example.com",
        **parameters,
    }
    known = cloudformation.read(tree[TEMPLATE])["Parameters"]
    given |= {name: value for name, value in GIVEN_SECRETS.items() if name in known}
    if "Serving" in parameters:
        given["DomainName"] = "www.example.com"
        given["CertificateArn"] = client("acm").request_certificate(DomainName="www.example.com")["CertificateArn"]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        client("cloudformation").create_stack(
            StackName="my-service",
            TemplateBody=tree[TEMPLATE],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        )
    made = client("cloudformation").describe_stack_resources(StackName="my-service")["StackResources"]
    made = [one for one in made if "LogicalResourceId" in one]
    [stack] = client("cloudformation").describe_stacks(StackName="my-service")["Stacks"]
    ids = {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in made}
    ecs, elb = client("ecs"), client("elbv2")
    services = ecs.list_services(cluster=ids["Cluster"])["serviceArns"]
    balancers = elb.describe_load_balancers()["LoadBalancers"]
    return Cloud(
        parameters=parameters,
        template=cloudformation.read(tree[TEMPLATE]),
        resources={one["LogicalResourceId"]: one["ResourceType"] for one in made},
        ids=ids,
        ignored={
            kind for one in warned for kind in re.findall(r"parse (\S+) but it's not supported", str(one.message))
        },
        tasks={
            arn.split("/")[-1].split(":")[0].removeprefix("my-service-"): ecs.describe_task_definition(
                taskDefinition=arn
            )["taskDefinition"]
            for arn in ecs.list_task_definitions()["taskDefinitionArns"]
        },
        services={
            one["serviceName"]: one
            for one in ecs.describe_services(cluster=ids["Cluster"], services=services)["services"]
        },
        groups={one["GroupId"]: one for one in client("ec2").describe_security_groups()["SecurityGroups"]},
        databases=client("rds").describe_db_instances()["DBInstances"],
        listeners=elb.describe_listeners(LoadBalancerArn=balancers[0]["LoadBalancerArn"])["Listeners"],
        balancers=balancers,
        outputs={one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]},
    )


@pytest.fixture(scope="module", params=APPLIED, ids=lambda one: "-".join([one[0], *one[1]]))
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    name, parameters = request.param
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for key, value in keys.items():
            environment.setenv(key, value)
        yield apply(TREES[name], parameters)


def test_what_needs_other_resources_has_a_template_of_its_own() -> None:
    work = ("", "-jobs", "-jobs-outbox", "-webhooks", "-webhooks-outbox")
    fastapi = {f"fastapi-{auth}{more}" for auth in ("users", "api_key") for more in work}
    assert set(TREES) == {*fastapi, "django-embedded", "django-redis", "django-rabbitmq"}


def test_everything_that_the_stand_in_knows_is_made(cloud: Cloud) -> None:
    expected = {
        name: one["Type"]
        for name, one in cloud.template["Resources"].items()
        if one["Type"] not in NOT_APPLIED and wanted(one.get("Condition"), cloud.parameters)
    }
    assert cloud.resources == expected


def wanted(condition: str | None, parameters: Mapping[str, str]) -> bool:
    return {None: True, "HasDomain": "Serving" in parameters, "UsesNat": parameters == WITH_NAT}[condition]


def test_what_the_stand_in_does_not_know_is_named(cloud: Cloud) -> None:
    kinds = {one["Type"] for one in cloud.template["Resources"].values()}
    assert cloud.ignored == NOT_APPLIED & kinds


def test_nothing_is_named_that_no_template_has() -> None:
    templates = [cloudformation.read(tree[TEMPLATE]) for tree in TREES.values()]
    assert {one["Type"] for template in templates for one in template["Resources"].values()} >= NOT_APPLIED


def test_no_secret_stands_in_a_task_definition(cloud: Cloud) -> None:
    for task in cloud.tasks.values():
        [container] = task["containerDefinitions"]
        given = {one["name"]: one["value"] for one in container["environment"]}
        assert not [
            name
            for name in given
            if re.search(r"SECRET|PASSWORD|KEY|DATABASE_URL|BROKER_URL|EMAIL_URL|SOURCES|TARGETS", name)
        ]
        assert SECRET not in json.dumps(task)
        assert "resolve:" not in json.dumps(task)
    secrets = set(cloud.of_type("AWS::SecretsManager::Secret"))
    for task in cloud.of_type("AWS::ECS::TaskDefinition").values():
        [container] = task["ContainerDefinitions"]
        assert {one["ValueFrom"]["Ref"] for one in container["Secrets"]} < secrets


def test_passwords_are_made_by_aws_and_given_secrets_are_no_shown_parameters(cloud: Cloud) -> None:
    secrets = cloud.of_type("AWS::SecretsManager::Secret")
    for name in {"SecretKey", "DatabasePassword", "BrokerPassword"} & set(secrets):
        made = secrets[name]["GenerateSecretString"]
        assert made["PasswordLength"] >= 48
        # Punctuation would have to be encoded in a URL.
        assert made["ExcludePunctuation"] is True
    for name in GIVEN_SECRETS.keys() & cloud.template["Parameters"].keys():
        assert cloud.template["Parameters"][name]["NoEcho"] is True
        assert [one["SecretString"] for one in secrets.values() if "SecretString" in one].count({"Ref": name}) == 1
    assert SECRET not in json.dumps(cloud.outputs)


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("fastapi")])
def test_what_a_project_has_to_be_told_is_a_secret_of_its_tasks(name: str) -> None:
    template = cloudformation.read(TREES[name][TEMPLATE])
    for piece, parameter, setting in (
        ("webhooks", "WebhookSources", "APP_WEBHOOK_SOURCES"),
        ("outbox", "OutboxTargets", "APP_OUTBOX_TARGETS"),
    ):
        there_is_one = piece in name
        assert (parameter in template["Parameters"]) is there_is_one
        for task in template["Resources"].values():
            if task["Type"] == "AWS::ECS::TaskDefinition":
                [container] = task["Properties"]["ContainerDefinitions"]
                given = {one["Name"]: one["ValueFrom"] for one in container["Secrets"]}
                assert given.get(setting) == ({"Ref": f"{parameter}Secret"} if there_is_one else None)
        if there_is_one:
            pattern = template["Parameters"][parameter]["AllowedPattern"]
            assert all(re.fullmatch(pattern, text) for text in ("{}", GIVEN_SECRETS[parameter]))
            assert not re.fullmatch(pattern, "sources.json")


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("fastapi")])
def test_background_work_has_tasks_of_its_own(name: str) -> None:
    resources = cloudformation.read(TREES[name][TEMPLATE])["Resources"]
    works = "jobs" in name or "webhooks" in name
    assert ("Worker" in resources) is ("NoWorkerAlarm" in resources) is works
    [web] = resources["WebTask"]["Properties"]["ContainerDefinitions"]
    assert ({"Name": "APP_EMBEDDED_WORKER", "Value": "false"} in web["Environment"]) is works
    if works:
        [worker] = resources["WorkerTask"]["Properties"]["ContainerDefinitions"]
        assert worker["Command"] == ["python", "-m", "app.commands", "worker"]


def test_tasks_run_without_rights_on_a_file_system_that_is_only_read(cloud: Cloud) -> None:
    for name, task in cloud.tasks.items():
        [container] = task["containerDefinitions"]
        assert container["user"] == "10001"
        assert not container.get("privileged")
        # What `aws ecs execute-command` starts in there runs as root, and writes.
        dropped = container["linuxParameters"].get("capabilities")
        assert dropped == (None if name == "console" else {"drop": ["ALL"]})
        assert container["readonlyRootFilesystem"] is (name != "console")
        assert [one["containerPath"] for one in container["mountPoints"]] == ["/tmp"]  # noqa: S108


def test_only_the_load_balancer_is_open_to_the_world(cloud: Cloud) -> None:
    ours = {cloud.ids[name] for name in cloud.of_type("AWS::EC2::SecurityGroup")}
    opened = {
        (group, rule["FromPort"], rule["ToPort"])
        for group in ours
        for rule in cloud.groups[group]["IpPermissions"]
        if rule["IpRanges"] or rule["Ipv6Ranges"]
    }
    balancer = cloud.ids["LoadBalancerSecurityGroup"]
    assert opened == {(balancer, 80, 80), (balancer, 443, 443)}
    assert [one["SecurityGroups"] for one in cloud.balancers] == [[balancer]]


def test_who_may_connect_to_whom_is_a_chain(cloud: Cloud) -> None:
    def sources(group: str) -> list[tuple[int, str]]:
        rules = cloud.groups[cloud.ids[group]]["IpPermissions"]
        return [(rule["FromPort"], pair["GroupId"]) for rule in rules for pair in rule["UserIdGroupPairs"]]

    tasks = cloud.ids["TaskSecurityGroup"]
    assert sources("TaskSecurityGroup") == [(8000, cloud.ids["LoadBalancerSecurityGroup"])]
    assert sources("DatabaseSecurityGroup") == [(5432, tasks)]
    if "BrokerSecurityGroup" in cloud.ids:
        [(port, source)] = sources("BrokerSecurityGroup")
        assert (port in (5671, 6379), source) == (True, tasks)
    # moto drops it.
    for service in cloud.of_type("AWS::ECS::Service").values():
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["SecurityGroups"] == [{"Ref": "TaskSecurityGroup"}]
        assert network["AssignPublicIp"] == {"Fn::If": ["UsesNat", "DISABLED", "ENABLED"]}
    names = ("PrivateSubnetA", "PrivateSubnetB") if cloud.parameters == WITH_NAT else ("PublicSubnetA", "PublicSubnetB")
    assert f"subnets=[{cloud.ids[names[0]]},{cloud.ids[names[1]]}]" in cloud.outputs["Network"]


def test_the_database_is_private_encrypted_and_kept(cloud: Cloud) -> None:
    [database] = cloud.databases
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert database["BackupRetentionPeriod"] == 7
    private = {cloud.ids["PrivateSubnetA"], cloud.ids["PrivateSubnetB"]}
    assert {one["SubnetIdentifier"] for one in database["DBSubnetGroup"]["Subnets"]} == private
    # moto drops which subnet has which routes.
    subnets = cloud.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    tables = {one["SubnetId"]["Ref"]: one["RouteTableId"]["Ref"] for one in subnets}
    assert tables["PrivateSubnetA"] == tables["PrivateSubnetB"] == "PrivateRoutes"
    routes = cloud.of_type("AWS::EC2::Route").items()
    assert [name for name, one in routes if one["RouteTableId"] == {"Ref": "PrivateRoutes"}] == ["PrivateRouteOut"]
    assert cloud.template["Resources"]["PrivateRouteOut"]["Condition"] == "UsesNat"
    # moto drops these.
    resource = cloud.template["Resources"]["Database"]
    assert resource["Properties"]["VPCSecurityGroups"] == [{"Ref": "DatabaseSecurityGroup"}]
    assert resource["Properties"]["DeletionProtection"] is True
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Snapshot"
    assert resource["Properties"]["MasterUserPassword"]["Fn::Sub"].startswith("{{resolve:secretsmanager:")


def test_the_broker_is_private_and_encrypted(cloud: Cloud) -> None:
    for broker in cloud.of_type("AWS::ElastiCache::ReplicationGroup").values():
        assert broker["TransitEncryptionEnabled"] is broker["AtRestEncryptionEnabled"] is True
        assert broker["TransitEncryptionMode"] == "required"
        assert broker["AuthToken"]["Fn::Sub"].startswith("{{resolve:secretsmanager:")
        url = cloud.of_type("AWS::SecretsManager::Secret")["BrokerUrl"]["SecretString"]["Fn::Sub"]
        assert re.fullmatch(r"rediss://:.*\?ssl_cert_reqs=required", url)
    for broker in cloud.of_type("AWS::AmazonMQ::Broker").values():
        assert broker["PubliclyAccessible"] is False
        assert broker["Users"][0]["Password"]["Fn::Sub"].startswith("{{resolve:secretsmanager:")
        assert cloud.of_type("AWS::SecretsManager::Secret")["BrokerUrl"]["SecretString"]["Fn::Sub"][0].startswith(
            "amqps:"
        )


def test_buckets_are_private_versioned_and_stay(cloud: Cloud) -> None:
    # moto drops most of it.
    for name, bucket in cloud.of_type("AWS::S3::Bucket").items():
        assert list(bucket["PublicAccessBlockConfiguration"].values()) == [True] * 4
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["BucketEncryption"]
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert cloud.template["Resources"][name]["DeletionPolicy"] == "Retain"
        [policy] = cloud.of_type("AWS::S3::BucketPolicy").values()
        [statement] = policy["PolicyDocument"]["Statement"]
        assert (policy["Bucket"], statement["Effect"]) == ({"Ref": name}, "Deny")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_roles_may_do_only_what_they_need(cloud: Cloud) -> None:
    for role in cloud.of_type("AWS::IAM::Role").values():
        [trusted] = role["AssumeRolePolicyDocument"]["Statement"]
        assert trusted["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert "ManagedPolicyArns" not in role
        for statement in (one for policy in role["Policies"] for one in policy["PolicyDocument"]["Statement"]):
            actions, resources = (as_list(statement[key]) for key in ("Action", "Resource"))
            assert not [action for action in actions if "*" in action]
            if "*" in resources:
                assert set(actions) <= FOR_ALL_RESOURCES
    assert "taskRoleArn" not in cloud.tasks["migrate"]
    if "MediaBucket" not in cloud.resources:
        assert "taskRoleArn" not in cloud.tasks["web"]
    assert not any("EnableExecuteCommand" in one for one in cloud.of_type("AWS::ECS::Service").values())


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_services_run_once_there_is_something_to_serve(cloud: Cloud) -> None:
    assert {one["desiredCount"] for one in cloud.services.values()} == ({1} if "Serving" in cloud.parameters else {0})
    assert {"web"} <= set(cloud.services) <= {"web", "worker", "beat"}
    assert set(cloud.tasks) == {"migrate", "console", *cloud.services}
    for name, service in cloud.of_type("AWS::ECS::Service").items():
        rollout = service["DeploymentConfiguration"]
        assert rollout["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        # Two schedules would do everything twice.
        least_and_most = rollout["MinimumHealthyPercent"], rollout["MaximumPercent"]
        assert least_and_most == ((0, 100) if name == "Beat" else (100, 200))


def test_plain_http_is_sent_on_to_https_where_there_is_a_domain(cloud: Cloud) -> None:
    actions = {one["Port"]: one["DefaultActions"][0]["Type"] for one in cloud.listeners}
    [container] = cloud.tasks["web"]["containerDefinitions"]
    settings = {one["name"]: one["value"] for one in container["environment"]}
    assert settings["APP_TRUSTED_PROXY"] == "true"
    assert settings.get("APP_PUBLIC_URL") == (cloud.outputs["Url"] if has_mail(cloud.template) else None)
    if "Serving" in cloud.parameters:
        assert actions == {80: "redirect", 443: "forward"}
        assert cloud.outputs["Url"] == "https://www.example.com"
        assert settings["APP_ALLOWED_HOSTS"] == "www.example.com"
    else:
        assert actions == {80: "forward"}
        assert settings["APP_ALLOWED_HOSTS"].lstrip("*") == f".{REGION}.elb.amazonaws.com"


def test_every_service_and_the_database_have_alarms_that_somebody_gets(cloud: Cloud) -> None:
    alarms = cloud.of_type("AWS::CloudWatch::Alarm")
    watched = {dimension["Name"] for alarm in alarms.values() for dimension in alarm["Dimensions"]}
    assert {"LoadBalancer", "TargetGroup", "DBInstanceIdentifier"} < watched
    missing = [alarm for alarm in alarms.values() if alarm.get("TreatMissingData") == "breaching"]
    services = {alarm["Dimensions"][1]["Value"]["Fn::GetAtt"][0].lower() for alarm in missing}
    assert services == set(cloud.services)
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms.values())


@pytest.mark.parametrize("name", TREES)
def test_a_template_is_small_enough_to_be_sent_as_it_is(name: str) -> None:
    assert len(TREES[name][TEMPLATE].encode()) <= MOST_BYTES


@pytest.mark.parametrize("name", TREES)
def test_production_gets_every_setting_that_it_asks_for(name: str) -> None:
    files = TREES[name].items()
    source = "".join(
        text for path, text in files if re.fullmatch(r"config/environment\.py|app/(\w+/)?settings\.py", path)
    )
    needed = re.search(r"needed = \((.*?)\)\n", source, re.DOTALL)
    assert needed
    for task in cloudformation.read(TREES[name][TEMPLATE])["Resources"].values():
        if task["Type"] == "AWS::ECS::TaskDefinition":
            [container] = task["Properties"]["ContainerDefinitions"]
            given = {one["Name"] for one in [*container["Environment"], *container["Secrets"]]}
            assert {f"APP_{setting.upper()}" for setting in re.findall(r'"(\w+)"', needed[1])} <= given
            fields = re.findall(r"^    (\w+): ", source, re.MULTILINE)
            assert given <= {f"APP_{field.upper()}" for field in fields}


@pytest.mark.parametrize("name", TREES)
def test_the_image_has_the_folder_that_tasks_may_write_to(name: str) -> None:
    assert "\nVOLUME /tmp\n" in TREES[name]["Dockerfile"]


@pytest.mark.parametrize("name", TREES)
def test_the_page_names_only_what_there_is(name: str) -> None:
    page, template = TREES[name][PAGE], cloudformation.read(TREES[name][TEMPLATE])
    shown = "\n".join(
        re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE) + re.findall(r"`([^`\n]+)`", page)
    )
    families = [
        one["Properties"]["Family"]["Fn::Sub"]
        for one in template["Resources"].values()
        if one["Type"].endswith("TaskDefinition")
    ]
    assert set(re.findall(r"output (\w+)", shown)) - {"text"} <= set(template["Outputs"])
    assert set(re.findall(r"\b([A-Z][a-z]\w+)=[^=]", shown)) <= set(template["Parameters"])
    assert {f"${{AWS::StackName}}-{task}" for task in re.findall(r"\(task (\w+)", shown)} <= set(families)
    for parameter in template["Parameters"].values():
        assert parameter["Description"]


def test_both_stacks_have_the_same_resources_under_the_same_names() -> None:
    django, fastapi = (cloudformation.read(TREES[name][TEMPLATE]) for name in ("django-embedded", "fastapi-users-jobs"))
    assert fastapi["Resources"].keys() < django["Resources"].keys()
    different = {name for name, one in fastapi["Resources"].items() if one != django["Resources"][name]}
    # Other commands and settings, and no bucket.
    assert different == {"ConsoleRole", "ConsoleTask", "MigrateTask", "WebTask", "WorkerTask"}
    assert fastapi["Outputs"].keys() < django["Outputs"].keys()
    assert django["Parameters"] == fastapi["Parameters"]

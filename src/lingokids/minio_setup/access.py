"""The pipeline's user, and the policy that says what it may do."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from minio.error import MinioAdminException, S3Error

from lingokids.minio_setup.server import Server, error_code
from lingokids.minio_setup.variables import SetupError

POLICY = "lingokids-pipeline"


def ensure_policy(server: Server) -> str:
    """Make the policy, or bring it to the text of the file."""
    wanted, present = _wanted_policy(), _present_policy(server)
    if _is_wanted(present):
        return f"policy: {POLICY} is there, unchanged"
    server.admin.policy_add(POLICY, policy=wanted)
    return f"policy: {POLICY} {'made' if present is None else 'brought up to date'}"


def refuse_another_policy(server: Server) -> None:
    """Refuse a user that may do something else than the file says."""
    user = server.target.pipeline.user
    is_bound = (_present_user(server) or {}).get("policyName") == POLICY
    if not is_bound or not _is_wanted(_present_policy(server)):
        raise SetupError(
            f"{user} may do something else on {server.target.endpoint} than {POLICY} says: uv run "
            "kedro lake init --without-sample sets that right."
        )


def ensure_user(server: Server) -> str:
    """Make the user, or give it the secret and the one policy that it should have."""
    user, secret = server.target.pipeline.user, server.target.pipeline.secret
    present = _present_user(server)
    done = []
    if present is None:
        server.admin.user_add(user, secret)
        done.append("made")
    elif present.get("status") != "enabled" or not _secret_holds(server):
        server.admin.user_add(user, secret)
        done.append("secret changed")
    if present is None or present.get("policyName") != POLICY:
        server.admin.policy_set(POLICY, user=user)  # in place of any other it may have
        done.append(f"bound to {POLICY}")
    return f"user: {user} {', '.join(done) or 'is there, unchanged'}"


def refuse_other_ways_in(server: Server) -> None:
    """Refuse rights that the user has from a group, and keys that a new secret leaves valid."""
    user = server.target.pipeline.user
    for name in json.loads(server.admin.user_info(user)).get("memberOf") or []:
        group = json.loads(server.admin.group_info(name))
        if group["status"] == "enabled" and group.get("policy") not in (None, "", POLICY):
            raise SetupError(
                f"{user} is in the group {name}, which may do more ({group['policy']}): take it "
                f"out (mc admin group rm ALIAS {name} {user}), and run it again."
            )
    for account in json.loads(server.admin.list_service_account(user)).get("accounts") or []:
        key = account["accessKey"]
        raise SetupError(
            f"{user} has a second access key, {key}, which a new secret leaves valid: remove it "
            f"(mc admin accesskey rm ALIAS {key}), and run it again."
        )


def _wanted_policy() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("pipeline-policy.json").read_text("utf-8"))


def _is_wanted(policy: dict[str, Any] | None) -> bool:
    return policy is not None and _comparable(policy) == _comparable(_wanted_policy())


def _present_policy(server: Server) -> dict[str, Any] | None:
    try:
        return json.loads(server.admin.policy_info(POLICY))
    except MinioAdminException as error:
        if error_code(error) == "XMinioAdminNoSuchPolicy":
            return None
        raise


def _present_user(server: Server) -> dict[str, Any] | None:
    try:
        return json.loads(server.admin.user_info(server.target.pipeline.user))
    except MinioAdminException as error:
        if error_code(error) == "XMinioAdminNoSuchUser":
            return None
        raise


def _secret_holds(server: Server) -> bool:
    """Whether the server takes the secret.

    A refusal for want of rights says that it does: rights are looked at after the signature.
    """
    try:
        server.as_user(server.target.pipeline).bucket_exists("gold")
    except S3Error as error:
        return error.code == "AccessDenied"
    return True


def _comparable(policy: Any) -> Any:
    """A policy without the order of its lists, which servers do not keep."""
    if isinstance(policy, dict):
        return {name: _comparable(value) for name, value in policy.items()}
    if isinstance(policy, list):
        return sorted((_comparable(value) for value in policy), key=repr)
    return policy

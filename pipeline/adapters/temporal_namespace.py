"""What a Temporal namespace is to have beside the workflows: search attributes, and the build that new work goes to."""

from __future__ import annotations

from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeWorkerDeploymentRequest, SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from pipeline.contracts.workflows import DATASET_ATTRIBUTE
from pipeline.errors import Conflict, NotReady

_ANSWER = timedelta(seconds=10)
KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
_REFUSALS = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.UNAUTHENTICATED)


async def has_search_attributes(client: Client) -> bool:
    """Return whether the namespace has our search attributes. A server that does not tell counts as one without them."""
    try:
        found = await _search_attributes(client)
    except RPCError as error:
        if error.status in _REFUSALS:
            return False
        raise
    return found.get(DATASET_ATTRIBUTE) == KEYWORD


async def make_search_attributes(client: Client) -> bool:
    """Create our search attributes where they are missing; return whether anything was created.

    Raises NotReady, saying what to do by hand, if the server lets operators do that only, as Temporal Cloud does.
    """
    try:
        found = (await _search_attributes(client)).get(DATASET_ATTRIBUTE)
        if found is None:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes={DATASET_ATTRIBUTE: KEYWORD}),
                timeout=_ANSWER,
            )
            return True
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:  # another process was faster
            return False
        if error.status in _REFUSALS:
            raise NotReady(_by_hand(client.namespace)) from error
        raise
    if found != KEYWORD:
        raise NotReady(
            f"The search attribute {DATASET_ATTRIBUTE} of namespace {client.namespace!r} is not of type Keyword, so imports"
            " are not marked with their dataset. Remove it, then run: bulkhead migrate"
        )
    return False


async def _search_attributes(client: Client) -> dict[str, int]:
    asked = ListSearchAttributesRequest(namespace=client.namespace)
    answer = await client.operator_service.list_search_attributes(asked, timeout=_ANSWER)
    return dict(answer.custom_attributes)


def _by_hand(namespace: str) -> str:
    return (
        f"Temporal does not let this client create the search attribute {DATASET_ATTRIBUTE} in namespace {namespace!r}. Imports"
        " run without it; to find them in Temporal by their dataset, create it by hand. Temporal Cloud: the namespace's page,"
        f" Edit, Search Attributes, {DATASET_ATTRIBUTE} of type Keyword. A server of your own:"
        f" temporal operator search-attribute create --namespace {namespace} --name {DATASET_ATTRIBUTE} --type Keyword"
    )


async def current_build(client: Client, deployment: str) -> str:
    """Return the build that new work of a deployment goes to; empty for workers without one."""
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=deployment)
    try:
        found = await client.workflow_service.describe_worker_deployment(  # Temporal limits how often it is asked this
            request, retry=True, timeout=_ANSWER
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return ""
        raise
    return found.worker_deployment_info.routing_config.current_deployment_version.build_id


async def set_current_build(client: Client, deployment: str, build_id: str, *, force: bool = False) -> None:
    """Have all work of a deployment go to this build from now on: new workflows, and the next task of the running ones.

    Raises Conflict if no worker of that build is running, or it does not serve all task queues of the present one; with
    ``force`` neither matters.
    """
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=deployment,
        build_id=build_id,
        allow_no_pollers=force,
        ignore_missing_task_queues=force,
        identity="bulkhead rollout",
    )
    try:
        await client.workflow_service.set_worker_deployment_current_version(request, retry=True, timeout=_ANSWER)
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.INVALID_ARGUMENT):
            raise Conflict(
                f"Temporal does not send work to build {build_id!r} of {deployment!r}: {error.message}."
                f" Start its workers with BULKHEAD_BUILD_ID={build_id}, for all task queues, and try again."
            ) from error
        raise

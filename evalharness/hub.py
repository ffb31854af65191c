"""What a user has to know when the Hugging Face hub can't give a model or a data set."""

from __future__ import annotations

from typing import Literal

Kind = Literal["model", "dataset"]

_ACCESS = "log in with `hf auth login`, or set HF_TOKEN to a token that may read it"


def hub_trouble(kind: Kind, name: str, revision: str | None, error: BaseException) -> str:
    """What happened and what to do about it, as the end of a sentence that names what was wanted.

    Args:
        kind: of the repository.
        name: `owner/name`.
        revision: as the user pinned it.
        error: what `huggingface_hub` or `datasets` raised; the first known one of its causes tells.
    """
    from huggingface_hub import constants, errors

    ahead = f"`hf download {name}{' --repo-type dataset' if kind == 'dataset' else ''}"
    ahead += f" --revision {revision}`" if revision else "`"
    chain = _causes(error)
    for each in chain:
        match each:
            case errors.GatedRepoError():
                page = "datasets/" if kind == "dataset" else ""
                return (
                    f"is gated: accept its terms at {constants.ENDPOINT}/{page}{name}, then "
                    f"{_ACCESS}"
                )
            case errors.RevisionNotFoundError():
                return f"has no revision {revision}: name a commit, tag or branch that it has"
            case errors.RepositoryNotFoundError():
                return (
                    f"is not on the hub, or is private: check the name; for a private one {_ACCESS}"
                )
            case errors.OfflineModeIsEnabled():
                return (
                    "isn't in the hub's cache of this machine, and HF_HUB_OFFLINE is set: unset "
                    f"it, or fetch it ahead where there is a network: {ahead}"
                )
    text = next((str(each) for each in reversed(chain) if str(each).strip()), type(error).__name__)
    reason = text.strip().splitlines()[0]
    if any(_is_connection(each) for each in chain):
        return (
            f"can't be had: {constants.ENDPOINT} doesn't answer ({reason}): check the network, or "
            f"fetch it ahead with {ahead} and set HF_HUB_OFFLINE=1"
        )
    return f"can't be had from the hub ({reason}): check the name and the network"


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    return chain


def _is_connection(error: BaseException) -> bool:
    # The hub's client changes its HTTP library between versions: names, not classes.
    return isinstance(error, ConnectionError | TimeoutError) or type(error).__name__ in (
        "ConnectError",
        "ConnectTimeout",
        "ReadTimeout",
        "ReadError",
    )

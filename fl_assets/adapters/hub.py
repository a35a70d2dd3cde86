"""Sources of adapters: repositories of the Hugging Face Hub, and plain servers that list manifests.

What goes here: listing what a source offers, and fetching a file within bounds. What does not: whether it is
admitted (`admission.py`), where it is put (`store.py`).

Requests go through our own `Web` (to any `HF_ENDPOINT`, with the token and the offline mode of
`huggingface_hub`): the library's client follows redirects to any host, has no deadline for a whole exchange,
checks a size only after the last byte, and logs signed URLs.
"""

import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

import huggingface_hub

from fl_assets.adapters.admission import UNKNOWN, Candidate, broken_rule
from fl_assets.adapters.manifest import (
    BUNDLE,
    BUNDLE_BYTES,
    COMMIT,
    CONFIG,
    MANIFEST,
    MANIFEST_BYTES,
    SIGNATURE,
    SIGNATURE_BYTES,
    WEIGHTS,
    AdapterFile,
    AdapterManifest,
    ManifestError,
    name_problem,
    parse_manifest,
)
from fl_assets.adapters.web import FetchError, Web, joined, names_of, place
from fl_assets.core.models import Violation
from fl_assets.core.settings import FederatedLearningConfig

LIST_BYTES = 4 * 1024 * 1024
MAX_LISTED = 200
_HUB_HOSTS = ("huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co")


# The Hub
# ----------------------------------------------------------------------------------------------------


class HubSource:
    """Repositories of the Hub, each with one adapter.

    The newest manifest is at the head of the branch, its files at the commit that the manifest names.
    """

    def __init__(
        self,
        repos: Sequence[str],
        *,
        endpoint: str | None = None,
        hosts: Iterable[str] = (),
        bundles: bool = False,
        web: Web | None = None,
    ) -> None:
        """Offer repositories.

        Repositories are `org/name` or `org/name@revision`; the endpoint is by default HF_ENDPOINT or the
        library's.
        """
        self._repos, self._bundles = tuple(repos), bundles
        self._endpoint = (
            endpoint or os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
        ).rstrip("/")
        parts = urlsplit(self._endpoint)
        if parts.username or parts.password:
            raise FetchError(
                f"HF_ENDPOINT {place(self._endpoint)} must hold no user and no password; set HF_TOKEN"
            )
        known = _HUB_HOSTS if parts.hostname in ("huggingface.co", "hf.co") else ()
        self._web = web or Web((names_of(self._endpoint)[1], *known, *hosts))
        self.name = place(self._endpoint)

    def candidates(self) -> list[Candidate]:
        """Return the version at the head of each repository; one that does not answer has a problem."""
        with self._web.asking():
            return [self._candidate(spec) for spec in self._repos]

    def fetch(self, candidate: Candidate, file: AdapterFile, target: BinaryIO) -> None:
        """Write a file of the pinned commit.

        Raises:
            FetchError: it could not be had whole, or the server answers for another commit.
        """
        self._file(candidate.adapter_id, candidate.commit, file.name, target, limit=file.size, exact=True)

    def _candidate(self, spec: str) -> Candidate:
        repo, _, revision = spec.partition("@")
        unknown = Candidate(source=self.name, adapter_id=repo[:200] or spec[:200], from_repository=True)
        problem = name_problem(repo) or ("" if "/" in repo else f"{repo!r} must be `org/name`")
        if problem:
            return _with(unknown, "adapter_name", "a repository id", problem)
        try:
            head = self._info(repo, revision or None)
            if MANIFEST not in head.files:
                return _with(unknown, "manifest", f"{MANIFEST} at {head.commit[:12]}", "none")
            content = self._small(repo, head.commit, MANIFEST, MANIFEST_BYTES)
            fields: dict[str, Any] = {}
            if SIGNATURE in head.files:
                signature = self._small(repo, head.commit, SIGNATURE, SIGNATURE_BYTES)
                fields["signature"] = signature.decode("ascii", "replace").strip()
            if self._bundles and BUNDLE in head.files:
                fields["bundle"] = self._small(repo, head.commit, BUNDLE, BUNDLE_BYTES)
            manifest = parse_manifest(content)
            fields |= {"manifest": manifest, "version": manifest.version}
            if not manifest.revision:
                return unknown.model_copy(update=fields)
            pinned = head if manifest.revision == head.commit else self._info(repo, manifest.revision)
        except ManifestError as error:
            return _with(unknown, "manifest", "a canonical manifest within its bounds", str(error))
        except FetchError as error:
            return _with(unknown, "source", "an answer", str(error))
        return unknown.model_copy(update={**fields, "commit": pinned.commit, "listed": pinned.files})

    def _info(self, repo: str, revision: str | None) -> "_Listing":
        """Return the commit of a branch or commit, and the files at it."""
        path = f"/revision/{quote(revision, safe='')}" if revision else ""
        content = self._asked(f"{self._endpoint}/api/models/{repo}{path}?blobs=true")
        try:
            info = json.loads(content)
            files = {str(one["rfilename"]): one.get("size") for one in info["siblings"] or ()}
            commit = str(info["sha"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FetchError(f"{self.name}: {type(error).__name__} for {repo}") from None
        if COMMIT.fullmatch(commit) is None:
            raise FetchError(f"{self.name}: names no commit of {repo}")
        return _Listing(
            commit, {name: size if isinstance(size, int) else None for name, size in files.items()}
        )

    def _asked(self, url: str) -> bytes:
        self._check_online()
        return self._web.get(url, limit=LIST_BYTES, headers=_headers())

    def _check_online(self) -> None:
        if huggingface_hub.is_offline_mode():
            raise FetchError(f"{self.name}: not asked, for HF_HUB_OFFLINE is set")

    def _small(self, repo: str, commit: str, name: str, limit: int) -> bytes:
        buffer = io.BytesIO()
        self._file(repo, commit, name, buffer, limit=limit)
        return buffer.getvalue()

    def _file(
        self, repo: str, commit: str, name: str, target: BinaryIO, *, limit: int, exact: bool = False
    ) -> None:
        self._check_online()
        url = huggingface_hub.hf_hub_url(repo, name, revision=commit, endpoint=self._endpoint)
        headers = _headers()
        answer = self._web.stream(url, target, limit=limit, exact=exact, headers=headers)
        answered = answer.get("X-Repo-Commit", commit)
        if answered != commit:
            raise FetchError(f"{self.name}: {name} of commit {answered[:40]} in place of {commit}")


def _headers() -> dict[str, str]:
    """Return the headers of the library's client, which takes .15 s to import."""
    from huggingface_hub.utils import build_hf_headers

    return build_hf_headers(library_name="fl-assets")


class _Listing(NamedTuple):
    """A commit and its files by size."""

    commit: str
    files: dict[str, int | None]


# A plain list
# ----------------------------------------------------------------------------------------------------

_ENTRY_TEXTS = ("adapter_id", "version", "model_name", "download_url", "signature", "checksum")


class ListSource:
    """A server whose `GET {url}/list` lists adapters, with manifest and config beside `download_url`."""

    def __init__(
        self, url: str, *, hosts: Iterable[str] = (), bundles: bool = False, web: Web | None = None
    ) -> None:
        """Offer what the server at `url` lists; for the other arguments see `HubSource`."""
        self._url, self._bundles = url.rstrip("/"), bundles
        self._web = web or Web((names_of(url)[1], *hosts))
        self.name = place(self._url)

    def candidates(self) -> list[Candidate]:
        """Return every listed version."""
        with self._web.asking():
            return self._candidates()

    def _candidates(self) -> list[Candidate]:
        unknown = Candidate(source=self.name, adapter_id=UNKNOWN)
        try:
            entries = json.loads(self._web.get(f"{self._url}/list", limit=LIST_BYTES))
        except FetchError as error:
            return [_with(unknown, "source", "an answer", str(error))]
        except (ValueError, RecursionError):
            return [_with(unknown, "source", "a JSON list", "something else")]
        if not isinstance(entries, list) or len(entries) > MAX_LISTED:
            expected = f"a JSON list of at most {MAX_LISTED} adapters"
            return [_with(unknown, "source", expected, type(entries).__name__)]
        return [self._candidate(entry) for entry in entries]

    def fetch(self, candidate: Candidate, file: AdapterFile, target: BinaryIO) -> None:
        """Write a file.

        Raises:
            FetchError: it could not be had whole.
        """
        url = candidate.location if file.name == WEIGHTS else joined(candidate.location, CONFIG)
        self._web.stream(url, target, limit=file.size, exact=True)

    def _candidate(self, entry: Any) -> Candidate:
        fields = entry if isinstance(entry, dict) else {}
        unknown = Candidate(
            source=self.name, adapter_id=_text(fields.get("adapter_id")), version=_text(fields.get("version"))
        )
        missing = [name for name in _ENTRY_TEXTS if not isinstance(fields.get(name), str)]
        size = fields.get("file_size")
        if missing or isinstance(size, bool) or not isinstance(size, int):
            expected = f"{', '.join((*_ENTRY_TEXTS, 'file_size'))} of each adapter"
            actual = f"none or another kind of {', '.join(missing) or 'file_size'}"
            return _with(unknown, "source", expected, actual)
        if problem := name_problem(fields["adapter_id"]):
            return _with(unknown, "adapter_name", "a plain id", problem)
        location = joined(f"{self._url}/", fields["download_url"])
        try:
            manifest = parse_manifest(self._web.get(joined(location, MANIFEST), limit=MANIFEST_BYTES))
        except FetchError as error:
            return _with(unknown, "manifest", f"{MANIFEST} beside the weights", str(error))
        except ManifestError as error:
            return _with(unknown, "manifest", "a canonical manifest within its bounds", str(error))
        found = {
            "manifest": manifest,
            "signature": fields["signature"],
            "location": location,
            "problems": tuple(_disagreements(fields, manifest)),
        }
        known = unknown.model_copy(update=found)
        if not self._bundles:
            return known
        try:
            bundle = self._web.get(joined(location, BUNDLE), limit=BUNDLE_BYTES)
            return known.model_copy(update={"bundle": bundle})
        except FetchError as error:
            return _with(known, "model_signature", f"{BUNDLE} beside the weights", str(error))


def _disagreements(entry: Mapping[str, Any], manifest: AdapterManifest) -> list[Violation]:
    weights = manifest.file(WEIGHTS)
    listed = {name: entry[name] for name in ("model_name", "file_size", "checksum")}
    listed["checksum"] = re.sub(r"^sha256:", "", listed["checksum"]).lower()
    signed = {"model_name": manifest.base_model, "file_size": weights.size, "checksum": weights.sha256}
    subject = f"{manifest.adapter_id} {manifest.version}"
    return [
        broken_rule("source", subject, f"{name} {signed[name]} of the manifest", str(listed[name])[:120])
        for name in signed
        if listed[name] != signed[name]
    ]


def _with(candidate: Candidate, rule: str, expected: str, actual: str) -> Candidate:
    subject = f"{candidate.adapter_id} {candidate.version}"
    return candidate.model_copy(
        update={"problems": (*candidate.problems, broken_rule(rule, subject, expected, actual))}
    )


def _text(value: Any) -> str:
    """Return a listed id or version for display."""
    return value[:120] if isinstance(value, str) and value.isprintable() and value else UNKNOWN


OfferSource = HubSource | ListSource


def open_sources(settings: FederatedLearningConfig) -> list[OfferSource]:
    """Return the sources that the settings name."""
    sources: list[OfferSource] = []
    bundles = settings.adapter_oms_key_path is not None
    if settings.adapter_repos:
        sources.append(HubSource(settings.adapter_repos, hosts=settings.adapter_hosts, bundles=bundles))
    if settings.adapter_url:
        sources.append(ListSource(settings.adapter_url, hosts=settings.adapter_hosts, bundles=bundles))
    return sources

"""A request that is refused, in the two shapes of Pinecone's error bodies."""

from __future__ import annotations

from typing import Any

RPC_CODES = {400: 3, 404: 5, 409: 6, 413: 8, 429: 8, 503: 14}
CONTROL_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
}


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    def data_plane_body(self) -> dict[str, Any]:
        return {"code": RPC_CODES.get(self.status, 13), "message": self.message, "details": []}

    def control_plane_body(self) -> dict[str, Any]:
        code = self.code or CONTROL_CODES.get(self.status, "INTERNAL")
        return {"status": self.status, "error": {"code": code, "message": self.message}}


def require(holds: bool, message: str, status: int = 400) -> None:
    if not holds:
        raise RefusalError(status, message)


def only(body: dict[str, Any], known: set[str]) -> None:
    """Refuse members that the API does not have."""
    unknown = set(body) - known
    require(not unknown, f"unknown fields: {sorted(unknown)}")

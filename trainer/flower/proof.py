"""The proof that a site is who it says: it signs the server's question with the key that was made for its number.

Flower lets in whoever has one of the registered keys, and does not tell the server app which. Without this a site could
reply in place of another that is away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Proved = Callable[[int, str, str], bool]
"""Whether a client (its number) has proved itself: the question's nonce, and its proof."""


def prove(key: Path, client: int, nonce: str) -> str:
    """A site's proof, in hexadecimal digits.

    Args:
        key: its private key, see `trainer.flower.certificates.write_node_key`.
        client: its number.
        nonce: of the question.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA384
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    private = load_ssh_private_key(key.read_bytes(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{key}: not an EC key")
    return private.sign(_text(client, nonce), ec.ECDSA(SHA384())).hex()


def proved_by_keys(folder: Path) -> Proved:
    """Checks proofs with the public keys client-0.pub, client-1.pub … of a folder."""

    def proved(client: int, nonce: str, proof: str) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.hashes import SHA384
        from cryptography.hazmat.primitives.serialization import load_ssh_public_key

        public = load_ssh_public_key((folder / f"client-{client}.pub").read_bytes())
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise TypeError(f"{folder}: the key of client {client} is no EC key")
        try:
            public.verify(bytes.fromhex(proof), _text(client, nonce), ec.ECDSA(SHA384()))
        except (InvalidSignature, ValueError):
            return False
        return True

    return proved


def _text(client: int, nonce: str) -> bytes:
    return f"fedmpt client {client} {nonce}".encode()

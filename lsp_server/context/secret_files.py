"""Files that may hold secrets by their names: their text never goes into a prompt of another file.

Source: the usual names of keys, credentials and environments, as Zed's `disabled_globs` and
Continue's `core/indexing/ignore.ts` list them.
"""

from __future__ import annotations

import re
from fnmatch import translate

_NAMES = """
    .env .env.* *.env .envrc
    *.pem *.key *.crt *.cer *.der *.p12 *.pfx *.jks *.keystore *.kdbx *.ppk *.gpg *.asc
    id_rsa* id_dsa* id_ecdsa* id_ed25519* known_hosts authorized_keys
    .netrc _netrc .npmrc .pypirc .pgpass .my.cnf .htpasswd .git-credentials .dockercfg .vault-token
    credentials credentials.* *credential*.json service-account*.json
    *.tfstate *.tfstate.* *.tfvars *.tfvars.json
    secrets.* vault.* .bash_history .zsh_history *_history
""".split()  # noqa: SIM905 - a list of fifty strings is harder to read
_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".git", "secrets"})
_SECRET_NAME = re.compile("|".join(translate(name) for name in _NAMES), re.IGNORECASE)


def is_secret(path: str) -> bool:
    """Return whether a file may hold secrets, by its path within the workspace."""
    *folders, name = path.split("/")
    return bool(_SECRET_NAME.match(name)) or not _FOLDERS.isdisjoint(map(str.lower, folders))

"""What secrets look like: the shapes of known tokens, and names that promise a secret."""

import re
from itertools import pairwise

SHAPES = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{40,})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "a Slack webhook": re.compile(r"hooks\.slack\.com/services/T\w+/B\w+/\w+"),
    "a Google API key": re.compile(r"\bAIza[\w-]{35}"),
    "a Google OAuth secret": re.compile(r"\bGOCSPX-[\w-]{20,}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "an OpenAI or Anthropic key": re.compile(r"\bsk-(?=[\w-]*\d)[\w-]{20,}"),
    "a Stripe key": re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    "an npm token": re.compile(r"\bnpm_[A-Za-z0-9]{36}"),
    "a PyPI token": re.compile(r"\bpypi-[\w-]{50,}"),
    "a Databricks token": re.compile(r"\bdapi[0-9a-f]{32}"),
    "an Azure account key": re.compile(r"\bAccountKey=[A-Za-z0-9+/=]{40,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\w+/=\s\\]*"),
    "an authorization header": re.compile(
        r"Authorization:\s*(?:Bearer|Basic|Token)\s+[\w.~+/=-]{8,}", re.IGNORECASE
    ),
    "a URL with a token": re.compile(
        r"[?&](?:access_token|api_?key|password|sig|signature|token|X-Amz-Signature)"
        r"=(?![${])[^\s&'\"]{8,}",
        re.IGNORECASE,
    ),
    "a URL with a password": re.compile(
        r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@'\"{}$]*:[^\s/@'\"{}$]+@"
    ),
}

WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def _words(text: str) -> set[str]:
    return set(text.split())


SECRET_WORDS = _words(
    "apikey credential credentials passphrase passwd password pwd secret secrets token"
)
SECRET_PAIRS = {(word, "key") for word in _words("access account api auth encryption private ssh")}
ABOUT_A_SECRET = _words(
    "column count dir endpoint env field file folder id ids index kind len length limit mount name "
    "names parameter path ref size ttl type uri url var volume"
)
"""Last words of names of something else, such as ``secret_name``."""
TEXT_TOKENS = _words(
    "begin bos cls end eos image mask max min new next num pad padding per sep special start stop "
    "unk"
)
"""Words that make of the next word "token" a piece of text, such as ``pad_token``."""

ASSIGNMENTS = (
    re.compile(r"\b([A-Za-z_]\w*)\s*(?::[^=\n\"']{1,40})?=\s*[bru]{0,2}([\"'])([^\"'\n]{6,})\2"),
    re.compile(r"[\"']([A-Za-z_][\w-]*)[\"']\]?\s*[:=]\s*([\"'])([^\"'\n]{6,})\2"),
    re.compile(r"(?:^|[\s;&])([A-Z][A-Z0-9_]*)=()([^\s\"'$;&|(){}<>]{6,})"),
)
"""Assignments in Python, in mappings and in a shell: name, quote, value."""


def is_secret_name(name: str) -> bool:
    """Whether a name promises a secret: ``db_password`` and ``apiKey``, not ``tokenizer``."""
    words = [word.lower() for word in WORDS.findall(name)]
    if not words or words[-1] in ABOUT_A_SECRET:
        return False
    pairs = set(pairwise(words))
    if any(second == "token" and first in TEXT_TOKENS for first, second in pairs):
        return False
    return bool(SECRET_WORDS & set(words)) or bool(SECRET_PAIRS & pairs)


def is_literal(value: str) -> bool:
    """Whether a value is given here, and is not empty, a reference, a path or an example."""
    text = value.strip()
    if text.lower() in ("", "none", "null", "true", "false"):
        return False
    if "{{" in text or "://" in text or text.startswith(("$", "/", "./", "~", "<")):
        return False
    return "${" not in text and "$(" not in text and len(set(text)) > 1

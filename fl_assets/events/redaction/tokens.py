"""Secrets that are known by their own form, or by the header or address that carries them."""

from fl_assets.events.redaction.blocks import ASSIGN, MIXED, QUOTE, SEP, STAND_IN
from fl_assets.events.redaction.rule import ESCAPED, MASKED, Rule, Unless, any_case
from fl_assets.events.redaction.vendor_keys import KEY_FORMATS

_PEM_GAP = "(?:[ \t\r\n]|\\\\{1,4}[rnt])"
_PEM = (
    "-{4,5} ?BEGIN [A-Z0-9 ]{3,40}-{4,5}"
    f"(?:(?:[^{SEP}-]|-{{1,3}}[^{SEP}-])*-{{4,6}} ?END [A-Z0-9 ]{{3,40}}-{{4,5}}"
    f"|{_PEM_GAP}*(?:[A-Za-z-]{{3,20}}: [^\r\n\\\\{SEP}]{{0,100}}{_PEM_GAP}{{1,8}}){{0,5}}"  # cut off
    f"(?:[0-9A-Za-z+/=]{{16,}}{_PEM_GAP}{{1,8}})*[0-9A-Za-z+/=]{{16,}})"
)
_AUTHORIZATION = any_case("authorization")
_SCHEMES = any_case(
    "(?:token|apikey|api-key|key|digest|negotiate|ntlm|oauth|hawk|bearer|basic|ssws|bot|splunk)"
)
_NO_KEY_BEHIND_A_NAME = "|".join(
    (
        "(?:[0-9A-Za-z]{0,15}[^0-9A-Za-z])*(?:[0-9A-Za-z]{0,11}|[0-9A-Za-z]{13,15})$",  # short parts, no UUID
        "[a-z0-9]{1,8}(?:[_-](?:[a-z]{1,24}|v?[0-9]{1,4}))+$",  # words-with-dashes
        "11|[AS][CK][0-9a-f]|[0-9a-f]{32}[.]",
        "(?:key|app|dataset|ap[ip]|sdk|mob|act|live|sess|secret|prod|user)[_.=-]",  # the key of a cache
    )
)
"""What looks like a vendor's key, and is much else behind a name and a dash or underscore."""
_USER = "(?:[Uu]ser(?:name)?|\\[user|[$][A-Z_]+)\\[?"

RULES = (
    Rule(
        "PEM",
        f"()({_PEM})()",
        examples=(
            "‹-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END RSA PRIVATE KEY-----›",
        ),
        stays=("-----BEGIN PRIVATE KEY-----", "-----BEGIN PGP SIGNATURE-----\nMIIEvQIBADANBgkqhkiG9w0B"),
        need=".*[0-9A-Za-z+/=]{16}.*",
        unless=("-* ?BEGIN (?:PGP (?:MESSAGE|SIGNATURE)|SSH SIGNATURE)",),
    ),
    Rule(
        "JWT",
        f"({MASKED}|^|{ESCAPED}|[^0-9A-Za-z])"
        "(eyJ[0-9A-Za-z_-]{8,}[.][0-9A-Za-z_-]{8,}(?:[.][0-9A-Za-z_-]*){0,3})()",
        examples=("sent ‹eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl› again",),
        stays=("eyJ.eyJ.x",),
        unless=(Unless(before="<[A-Z].*"),),
    ),
    Rule(
        "API_KEY",
        f"({MASKED}|^|{ESCAPED}|[^0-9A-Za-z_-]|[0-9A-Za-z][_-])"
        f"({'|'.join(key.find for key in KEY_FORMATS)})([0-9A-Za-z]?)",
        kinds=tuple(key.find for key in KEY_FORMATS),
        examples=(
            *(f"key ‹{key.example}› was refused" for key in KEY_FORMATS),
            "backup-‹ghp_a7Kq2Zx9Lm4Tf8Wd1Rb6Yc3Vn5Hs0Jga7Kq›",
            "TOKEN_‹AKIAQ7ZK2XW9M4TF8RB6›",
        ),
        stays=(
            "sk-learn-contrib-estimators-v2",
            "hf_xxxxxxxxxxxxxxxxxxxxxxxx",
            "API-12345678901234567890123456",
            "sha256:114d1abee045089d78c6c5e6be2aa1da641b82249bf9f67cadea56bfdf46cab9",
            "my-hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "the-npm_config_cache_of_a_long_build_agent_17",
            "my_hf_internationalization_dataset_v2",
            "cache-key-4f9a1c7e0b3d86254f9a1c7e0b3d8625",
            "web-app-4f9a1c7e0b3d86254f9a1c7e",
        ),
        need="(?:[^0-9]*[0-9]|.*[a-z][A-Z]|A[A-Z]{3}[0-9A-Z]{16}).*",
        unless=(
            "[a-z0-9]{1,8}(?:[_-](?:[a-z]{1,12}|v?[0-9]{1,19})){2,}(?:=[0-9.]+)?$",  # words-with-dashes
            "API-[0-9]+$|[0-9a-f]{32}[.][0-9a-f]{16}$",
            "secret_(?:access_)?key",  # a name
            Unless(value="11[0-9a-f]{32}$", after="[0-9A-Za-z]"),
            ".*(?:[xX*]{6}|[.]{3}|[Yy][Oo][Uu][Rr][_-])",
            Unless(before="<[A-Z].*"),
            Unless(before="[0-9A-Za-z][_-]$", value=_NO_KEY_BEHIND_A_NAME),
        ),
        apart=True,
    ),
    Rule(
        "URL_CREDENTIALS",
        f"(://)([^ \t\r\n/?#\"'<>@\\\\{SEP}:]*:[^ \t\r\n/?#\"'<>\\\\{SEP}]*)(@)",
        examples=("postgres://‹app:s3cret›@db/x", "amqps://‹:s3cret›@mq"),
        stays=("https://user:password@host", "https://$USER:$TOKEN@git.example.com/x", "http://a:***@b"),
        unless=(
            "[A-Z_]{4,}:[A-Z_]{4,}$",
            f"{_USER}:(?:pass(?:word|wd)?\\]?|[$][A-Z_]+)$",
            "[^:]*:(?:[*]+|[xX]{3,}|[$%{\\[].*|[.]{3})?$",
        ),
    ),
    Rule(
        "URL_CREDENTIALS",
        "(%3[Aa]%2[Ff]%2[Ff])([0-9A-Za-z_.~+-]*%3[Aa]"
        "(?:[0-9A-Za-z_.~+!*-]|%[0-35-9A-Fa-f][0-9A-Fa-f]|%4[1-9A-Fa-f])+)(%40)",
        examples=("dsn=postgres%3A%2F%2F‹app%3As3cret›%40db",),
    ),
    Rule(  # of a domain of Windows
        "URL_CREDENTIALS",
        f"(://)([0-9A-Za-z._-]{{1,30}}\\\\{{1,4}}[0-9A-Za-z._-]{{1,40}}:[^ \t\r\n/?#\"'<>\\\\{SEP}]+)(@)",
        examples=("proxy=http://‹corp\\svc:s3cret›@proxy:3128",),
        stays=("http://corp\\svc@proxy:3128",),
    ),
    Rule(
        "URL_CREDENTIALS",
        "(://)([0-9A-Za-z_%~.-]{16,})(@)",
        examples=("https://‹5934de8a8e322b951b3c5c59ce9875d2›@o450123.ingest.sentry.io/4",),
        stays=("https://organisation@dev.azure.com/x",),
        need=f"{MIXED}.*",
    ),
    Rule(
        "BEARER_TOKEN",
        f"({any_case('bearer')}(?:[ \t\\\\]|%20|[+]){{1,3}})([0-9A-Za-z._~+/=-]{{8,}})()",
        examples=("Bearer ‹c4n4ry-t0ken-0123›",),
        stays=("Bearer token required", "bearer scope=read1"),
        need=f"(?:{MIXED}|[0-9A-Za-z]{{24}}|.*[a-z][A-Z]).*",
        unless=(STAND_IN, "[A-Za-z_]{1,20}=[0-9A-Za-z]{1,8}$"),
    ),
    Rule(
        "BASIC_AUTH",
        f"({any_case('basic')}(?:[ \t]|%20){{1,3}})([0-9A-Za-z+/]{{8,}}={{0,2}})()",
        examples=("Basic ‹Y2FuYXJ5OmJpcmQ=›",),
        stays=("Basic authentication failed",),
        need=f"(?:{MIXED}|[^=]*=|.*[a-z][A-Z].{{1,6}}[a-z][A-Z]).*",
    ),
    Rule(
        "BEARER_TOKEN",
        f"({_AUTHORIZATION}(?:{ASSIGN}|[\"'], ?){QUOTE}?{any_case('(?:bearer|basic)')}[ ]+)"
        "([0-9A-Za-z._~+/=-]{4,})()",
        examples=("Authorization: Bearer ‹abcdefg›",),
        stays=("authorization: bearer token",),
        unless=(STAND_IN, any_case("(?:base64[(]|token|auth|scheme|realm|header|access|credentials?)")),
    ),
    Rule(
        "BEARER_TOKEN",
        f"({_AUTHORIZATION}(?:{ASSIGN}|[\"'], ?){QUOTE}?(?:{_SCHEMES}[ ]+)?)([0-9A-Za-z._~+/=:-]{{8,}})()",
        examples=("'Authorization': 'Token ‹9944b09199c62bcf9418›'",),
        stays=("Authorization: AWS4-HMAC-SHA256", "authorization=disabled"),
        need=f"(?:{MIXED}|[0-9A-Za-z]{{24}}).*",
        unless=(STAND_IN, "AWS4-HMAC-SHA256$", f"{any_case('base64')}$"),
    ),
)

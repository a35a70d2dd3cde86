"""Secrets of a session: cookies, codes in callbacks, digests, hashes of passwords, encoded certificates."""

from fl_assets.events.redaction.blocks import MIXED, SEP, STAND_IN
from fl_assets.events.redaction.rule import Rule, Unless, any_case

_COOKIE_CHAR = "[0-9A-Za-z_.~+/%:=-]"
_SESSION_COOKIES = "|".join(
    (
        any_case("(?:phpsessid|jsessionid|asp[.]net_sessionid|connect[.]sid)"),
        "sid|sessionid|laravel_session|_gh_sess|_session_id|csrftoken|csrfmiddlewaretoken|XSRF-TOKEN",
        "[0-9A-Za-z_]{0,20}_session|authjs[.]session-token|next-auth[.]session-token|remember_[a-z_]{2,20}",
        "[.]?ASPXAUTH|[.]AspNetCore[.][0-9A-Za-z_.-]{1,40}|wordpress_(?:logged_in|sec)_[0-9a-f]{4,32}",
        "__(?:Secure|Host)-[0-9A-Za-z_.-]{1,40}",
    )
)
"""Names that hold a session wherever they stand; `session_id` names one of telemetry too, which is no
secret."""
_CODES = any_case(
    "(?:code|auth_?code|authorization_code|code_verifier|otp_token|login_token|one_?time_?token|magic_?token"
    "|ticket|oobcode|assertion|samlresponse|client_assertion|device_code|user_token|invite_token|reset_token)"
)
_FORGERY = any_case(
    "(?:_?csrf(?:[_-]?token)?|csrfmiddlewaretoken|authenticity_token|xsrf[_-]?token|__requestverificationtoken)"
)
_SEED = any_case("(?:totp|otp|2fa|mfa|two-factor|authenticator|setup key|manual entry|one-time)")
_BULLET = "(?:[ \t]{0,4}(?:[0-9]{1,2}[.)]|[-*•])[ \t]?)"
_OF_RECOVERY = any_case(
    "(?:(?:recovery|backup|scratch|rescue|wiederherstellungs|notfall|emergency)[ -]?code"
    "|(?:code|codici|código)s? (?:de|di) "
    "(?:secours|récupération|recuperación|recupero|recuperação|respaldo|backup))"
)
_RECOVERY = (
    "(?:[0-9A-Za-z]{4,8}-[0-9A-Za-z]{4,8}|[0-9A-Za-z]{3,8}(?:-[0-9A-Za-z]{3,8}){2,3}|[0-9a-f]{8,10}|[0-9]{8})"
)
_SPOKEN_CODES = any_case("(?:authorization|auth|oauth|login|device) code")
_DASHED_WORDS = "[A-Za-z]+(?:[_.-][A-Za-z0-9]{1,12}){0,6}$"
_HASH_CHAR = "[0-9A-Za-z./+=,$*-]"
_HASHES = "|".join(
    (
        f"[$](?:1|2[abxy]?|[5-9]|y|gy|apr1|md5|sha1|P|H|S)[$]{_HASH_CHAR}{{20,}}",  # crypt(5), Apache, Cisco
        f"[$](?:argon2(?:id|i|d)|scrypt|pbkdf2(?:-[a-z0-9]+)?|bcrypt-sha256)[$]{_HASH_CHAR}{{20,}}",
        f"(?:pbkdf2_sha(?:1|256|512)|bcrypt(?:_sha256)?|scrypt|argon2)[$]{_HASH_CHAR}{{20,}}",  # Django
        f"(?:scrypt:[0-9]+:[0-9]+:[0-9]+|pbkdf2:sha(?:1|256|512):[0-9]+)[$]{_HASH_CHAR}{{20,}}",  # Werkzeug
        "-(?:pbkdf2|hashed)-[0-9a-f]{40},[0-9a-f]{16,64}(?:,[0-9]{1,7})?",  # CouchDB
        "SCRAM-SHA-(?:1|256|512)[$][0-9]{3,7}:[0-9A-Za-z+/=]{8,}[$][0-9A-Za-z+/=:]{20,}|[*][0-9A-F]{40}",
        "grub[.]pbkdf2[.]sha512[.][0-9]{3,7}[.][0-9A-F]{64,}[.][0-9A-F]{64,}",
        "md5[0-9a-f]{32}",
        "[{](?:S?SHA|S?MD5|S?SHA(?:256|384|512)|CRYPT|PBKDF2[A-Z0-9-]*)[}][0-9A-Za-z./+=$]{20,}",  # RFC 2307
    )
)

RULES = (
    Rule(
        "PEM",
        "((?:^|[^0-9A-Za-z+/=_-]))(LS0tLS1CRUdJTi[0-9A-Za-z+/=_-]{20,})()",
        examples=("client-key-data: ‹LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo›",),
    ),
    Rule(
        "PEM",
        "(Private-Lines: [0-9]{1,3}\r?\n)([0-9A-Za-z+/=]{16,}(?:\r?\n[0-9A-Za-z+/=]{16,})*)()",
        examples=("Private-Lines: 1\n‹Zvw2P73+GPWPP8sD83cIh7pCvjM5pZKUZ6HvkLZ5›\nPrivate-MAC: 0",),
    ),
    Rule(  # the whole header, since any of its pairs may be the one
        "API_KEY",
        f"((?:^|[^0-9A-Za-z_-])[Cc]ookies?[\"']?(?:: ?|[ ]?=[ ]?)[\"']?)"
        f"([0-9A-Za-z_.-]{{1,60}}=[^\r\n\"'{SEP}]{{12,}})()",
        examples=("Cookie: ‹sessionid=uesq2wtjn34mute79rtlpxznmhlzvos0; theme=dark›",),
        stays=("Cookie: theme=dark; lang=en", "Cookie: consent=accepted-all-categories"),
        need=f"(?:.*;[ ]?)?[^=; ]+={_COOKIE_CHAR}{{5,}}[0-9]{_COOKIE_CHAR}{{5,}}(?:;.*)?",
    ),
    Rule(
        "API_KEY",
        f"([Ss]et-[Cc]ookie[\"']?(?:: ?|=)[\"']?[^=; \t\r\n{SEP}]{{1,60}}=)({_COOKIE_CHAR}{{16,}})()",
        examples=("set-cookie: SRV=‹6urr00zgk8urqwb2fvpni03shx›; path=/",),
        stays=("Set-Cookie: lang=en; path=/",),
        need=f"{MIXED}.*",
    ),
    Rule(
        "API_KEY",
        f"((?:^|[^0-9A-Za-z_-])(?:{_SESSION_COOKIES}|_csrf)(?:=|: |[\"']: ?[\"']))({_COOKIE_CHAR}{{16,}})()",
        examples=("PHPSESSID=‹6urr00zgk8urqwb2fvpni03shx› is stale",),
        stays=("sessionid=none", "sid=SM4f9a1c7e0b3d86254f9a1c7e0b3d8625"),
        need=f"{MIXED}.*",
        unless=(STAND_IN, "[A-Z]{2}[0-9a-f]{32}$"),  # Twilio's ids
    ),
    Rule(
        "API_KEY",
        f"([Cc]ookies?[\"']?(?:: ?|=)[{{(][\"'][^\"'\r\n{SEP}]{{1,60}}[\"']: ?[\"'])"
        f"({_COOKIE_CHAR}{{16,}})()",
        examples=("cookies={'sid': '‹uesq2wtjn34mute79rtlpxznmhlzvos0›'}",),
        need=f"{MIXED}.*",
    ),
    Rule(
        "API_KEY",
        f"((?:%3[Ff]|%26|^|[ ?&\"'])(?:{_CODES})(?:=|%3[Dd])|{_SPOKEN_CODES}(?:: ?| is |:\r?\n))"
        "([0-9A-Za-z_.~/%+-]{16,})()",
        examples=(
            "authorization code: ‹N5xDXYggKSuQrwXNRYZCmxJrR6l1Xn3y›",
            "GET /callback?code=‹4%2F0AQSTgQGx7k2mL9›&scope=email",
            "code_verifier=‹dBjftJeZ4CVP-mB92K27uhbU›",
        ),
        stays=("?code=ERR_CONNECTION_TIMED_OUT&retry=3",),
        need=f"{MIXED}.*",
        unless=(STAND_IN, _DASHED_WORDS, "https?:"),
    ),
    Rule(  # in code
        "API_KEY",
        f"((?:[Cc]ookies?|[Jj]ar)(?:[.](?:set|add|put|set_cookie|append))?[(]"
        f"[\"'][^\"'\r\n{SEP}]{{1,60}}[\"'], ?[\"']"
        f"|[Cc]ookies?[\"']?[^\r\n<{SEP}]{{0,120}}?[\"']value[\"']: ?[\"']"
        f"|curl [^\r\n|<{SEP}]{{0,120}}?(?:-b|--cookie)[ =][\"']?[0-9A-Za-z_.-]{{1,60}}=)"
        f"({_COOKIE_CHAR}{{16,}})()",
        examples=(
            'session.cookies.set("a", "‹cocpafkmqs8bci8zuu31uulgbnzwl7ou›")',
            'add_cookies([{"name": "sid", "value": "‹cocpafkmqs8bci8zuu31uulgbnzwl7ou›"}])',
            'curl -b "li_at=‹cocpafkmqs8bci8zuu31uulgbnzwl7ou›" https://x',
        ),
        stays=('cookies.set("lang", "en-GB-and-others")',),
        need=f"{MIXED}.*",
    ),
    Rule(
        "PASSWORD",
        "((?:^|[^A-Za-z])(?:NTLM|NTHASH|NT|LM)[ _-]?(?:[Hh]ash(?:es)?)?[ :=]{1,3}(?:[0-9A-Fa-f]{32}:)?)"
        "([0-9A-Fa-f]{32})"
        "([^0-9A-Za-z]|$)",
        examples=("NTLM hash ‹b5be6d7eb7b900f4d61a5fc233ccce26› of anna",),
    ),
    Rule(  # a jar of cookies, as browsers and curl keep it
        "API_KEY",
        f"((?:TRUE|FALSE)\t[0-9]{{1,14}}\t[^\t\r\n{SEP}]{{1,60}}\t)({_COOKIE_CHAR}{{16,}})()",
        examples=("x.io\tTRUE\t/\tTRUE\t1893456000\tsid\t‹x3086c21sex0h2bx5sxr›",),
        stays=("x.io\tTRUE\t/\tTRUE\t1893456000\tlang\ten-GB-and-others-too",),
        need=f"{MIXED}.*",
    ),
    Rule(  # what a device shows
        "API_KEY",
        f"({any_case('enter')}(?:(?: the| this)?(?: (?:user|device|one-time|login))?(?: code)?)?:? [\"'`]?)"
        "([A-Z0-9]{4}-[A-Z0-9]{4})([\"'`.,!) \r\n]|$)",
        examples=("open https://x.io/device and enter ‹WDJB-MJHT›",),
        stays=("enter 2026-2027 as the season", "enter the AB12-CD34-EF56 case"),
        unless=("[0-9]{4}-[0-9]{4}$",),
    ),
    Rule(
        "API_KEY",
        f"({_OF_RECOVERY}s?(?:[^0-9A-Za-z<{SEP}]{{1,4}}(?:(?:is|are) )?"
        f"| for [^\r\n:<{SEP}]{{1,30}}:?\r?\n)"
        f"{_BULLET}?)({_RECOVERY}(?:[,; \r\n]{{1,3}}{_BULLET}?(?:{_RECOVERY})){{0,15}})([^0-9A-Za-z-]|$)",
        examples=(
            "recovery codes: ‹2142f-6cc6b, 91ab2-03f7d›",
            "codici di backup: ‹h2k9-81mm-x0pp›",
            "Recovery codes for Anna:\n 1. ‹8kd2-pq91-zz0x\n 2. m3v7-0ahq-1lwt›",
        ),
        stays=("backup codes: see user-guide",),
        need="[^0-9]*[0-9].*",
    ),
    Rule(  # of forms against forgery, in a page or in JSON
        "API_KEY",
        f"((?:name=)?[\"'](?:{_FORGERY})[\"'](?:[^<>\r\n{SEP}]{{0,60}}?(?:value|content)=|: ?)[\"'])"
        "([0-9A-Za-z_.~+/%:=-]{16,})()",
        examples=(
            '<input type="hidden" name="_csrf" value="‹53fa5f75-864b-4b19-ad58-8f75dadac54c›"/>',
            '<meta name="csrf-token" content="‹q83vEjRWeJCrze8SNFZ4kKvN›">',
        ),
        stays=('"csrf": "double-submit-cookie"',),
        need=f"{MIXED}.*",
        unless=(STAND_IN, _DASHED_WORDS),
    ),
    Rule(  # seeds of one-time codes, in base32
        "API_KEY",
        f"({_SEED}[^\r\n<>=:{SEP}]{{0,40}}[=: ]{{1,3}}[\"'`]?)"
        "((?:[A-Z2-7]{16,}|(?:[A-Z2-7]{4} ){3,}[A-Z2-7]{4}))([^0-9A-Za-z_]|$)",
        examples=(
            "enter this setup key manually: ‹SWHGOBO5S6KOYX5D43LVATPVJJHF3U3V›",
            "TOTP secret ‹JBSWY3DPEHPK3PXP›",
            "TOTP seed: ‹KVZXQWERTYLMNBHG›",
            "2FA setup key: ‹KVKFKRCPNZQUYMLXOVYDSQKJKZDTSRLD›",
            "authenticator key: ‹JBSW Y3DP EHPK 3PXP›",
        ),
        stays=("the setup key of GITHUBORGANISATION is missing",),
        unless=(Unless(before=".*[^:=] [\"'`]?", value="[A-Z]{1,25}$"),),
    ),
    Rule(
        "API_KEY",
        f"({any_case('digest')}[^\r\n{SEP}]{{0,400}}?response=[\"']?)([0-9A-Fa-f]{{32,64}})()",
        examples=('Digest username="bot", nonce="8ca0", response="‹cf849fbad2a10c7d5fd99c762c495f41›"',),
    ),
    Rule(
        "API_KEY",
        "([\"']?(?:auth|identitytoken|registrytoken|_auth|_authToken|_password)[\"']?"
        "(?:: ?[\"']|[ ]?=[ ]?[\"']?))([0-9A-Za-z+/_-]{16,}={0,2})()",
        examples=('{"ghcr.io":{"auth":"‹YWNtZS1ib3Q6Z2hwX3RjTTZONWVFbHA=›"}}',),
        stays=('"auth": "required-for-all-routes"',),
        need=f"(?:{MIXED}|.*[a-z][A-Z]).*",
        unless=(STAND_IN, _DASHED_WORDS),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^0-9A-Za-z$]))({_HASHES})()",
        examples=(
            "admin:‹$apr1$Md7fkw0Y$H6GYa5OxmahpAMfoT7FegY›",
            "‹pbkdf2_sha256$600000$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo›",
            '"app" "‹md5db9d1d60934baded69c8f9d4704e0deb›"',
            "userPassword: ‹{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gxN2c1›",
        ),
        stays=("$1 fee, $6 total", "$2b$ is the prefix"),
    ),
    Rule(
        "PASSWORD",
        "((?::[0-9]{3,7}:[0-9A-Fa-f]{32}:|(?:^|[\\r\\n ])[0-9A-Za-z_.-]{1,30}:[A-Z][A-Za-z ]{2,30}:))"
        "([0-9A-Fa-f]{32})(:|[\\r\\n]|$)",
        examples=(
            "webdav:Restricted:‹132f43940199d225fb18460061ec712d›",
            "bob:1001:aad3b435b51404eeaad3b435b51404ee:‹8846f7eaee8fb117ad06bdd830b7586c›:::",
        ),
        apart=True,
    ),
)

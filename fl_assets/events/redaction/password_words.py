"""Passwords in code and in sentences: the call that takes them, or the word that stands behind them."""

from fl_assets.events.redaction.blocks import CODE, SEP, SIGNS, STAND_IN
from fl_assets.events.redaction.rule import Rule, any_case

_PASSWORD = any_case("(?:pass(?:word|wd|phrase|code|wort)|kennwort|contraseña|senha|mot de passe)")
_QUOTED = f"[^\"'\\r\\n{SEP}]{{4,80}}"
_HASHING = (
    "(?:(?:make|check|hash|verify|set|generate|encrypt)_?[Pp]assword(?:_?[Hh]ash)?|password_(?:hash|verify)"
    "|bcrypt[.](?:hash|compare|hashpw)(?:Sync|Pw)?|argon2[.](?:hash|verify)|Sensitive|unsafePlainText)"
)
_CONNECTING = (
    "(?:mysqli?(?:_connect)?|PDO|getConnection|pg_connect|oci_connect|odbc_connect|ssh2_auth_password|ldap_bind"
    "|ftp_login|pymssql[.]connect|cx_Oracle[.]connect|oracledb[.]connect)"
)

RULES = (
    Rule(
        "PASSWORD",
        f"((?:^|[^0-9A-Za-z_]){_HASHING}[(](?:[A-Za-z_.]{{1,40}}, ?)?b?[\"'])({_QUOTED})([\"'])",
        examples=("make_password('‹tulip-7›')", 'check_password_hash(h, "‹tulip-7›")'),
        stays=("set_password('password')", "new | password_hash('sha512')"),
        need=f"{SIGNS}.*",
        unless=(STAND_IN, CODE, "(?:sha|md|bcrypt|argon|pbkdf|scrypt)[0-9a-z_-]*$"),
    ),
    Rule(
        "PASSWORD",
        f"({_CONNECTING}[(](?:[^,()\\r\\n{SEP}]{{1,80}}, ?){{0,2}}?"
        f"[\"'][^\"'\\r\\n{SEP}]{{1,40}}[\"'], ?[\"'])"
        f"({_QUOTED})([\"'])",
        examples=("mysqli_connect('h', 'bot', '‹tulip-7›', 'db')", 'getConnection(url, "bot", "‹tulip-7›")'),
        stays=("new PDO('mysql:host=h', 'bot', '')",),
        need=f"{SIGNS}.*",
        unless=(STAND_IN, "[a-z]+:"),
    ),
    Rule(
        "PASSWORD",
        f"([\"'`][0-9A-Za-z_.-]{{1,40}}:)([^ \\t\\r\\n\"'`{SEP}@]{{1,60}})(@(?:tcp|unix)[(])",
        examples=("sql.Open('mysql', 'bot:‹tulip-7›@tcp(h:3306)/db')",),
        unless=(STAND_IN,),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[ \"'`(#\\[])[\"'`]?)([^ \\t\\r\\n\"'`<>()/:{SEP}]{{8,40}})"
        f"([\"'`]? (?:is|was|as|for) (?:the|my|your|our|a|his|her) "
        f"(?:[A-Za-z]{{2,12}} ){{0,2}}?{_PASSWORD}(?:[ .,;!]|$)"
        f"|[\"'`][)]{{0,2}};? {{0,2}}(?:#|//) ?(?:the )?{_PASSWORD})",
        examples=(
            "it rejects ‹Tulip-47› as my password",
            "‹comet-Sommer56› is the password",
            "child.sendline('‹Tulip-4711›')  # password",
        ),
        stays=("user42 is the password owner", "column_12 is the password hash", "step-12 is the password"),
        need="[^0-9]*[A-Za-z][^0-9]*[0-9]{2}.*|[^A-Z]*[a-z][^A-Z]*[A-Z].*[0-9].*|[^a-z]*[A-Z].*[0-9].*[a-z].*",
        unless=(STAND_IN, CODE, "[a-z]+[_-]?[0-9]+$"),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^A-Za-z]){any_case('(?:card|sim|atm|phone|alarm|door|safe|bank|voicemail)')} [Pp][Ii][Nn]"
        "(?: [Cc]ode)?(?: is |: ?|=| ))([0-9]{4,8})([^0-9A-Za-z]|$)",
        examples=("card pin is ‹6766›", "door PIN code: ‹482913›"),
    ),
)

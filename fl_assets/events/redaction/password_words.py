"""Passwords in code and in sentences: the call that takes them, the word behind them, codes and phrases."""

from fl_assets.events.redaction.blocks import CODE, SEP, SIGNS, STAND_IN
from fl_assets.events.redaction.passwords import LABEL, LONG_WORD
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
_CODE_QUALITY = any_case(
    "(?:verification|verify|confirmation|confirm|security|access|login|sign-in|auth|authorization|one-time|sms|otp|2fa|mfa"
    "|door|gate|entrance|lock|alarm|garage|safe|unlock|bestätigung|zugang|tür|vérification|confirmation|sécurité|accès"
    "|verificación|confirmación|seguridad|acceso|acesso|verificação|segurança|verifica|conferma|sicurezza|accesso"
    "|autoryzacyjny|weryfikacyjny|dostępu|подтверждения|доступа)"
)
_CODE = (
    f"(?:^|[^A-Za-z])(?:{any_case('(?:passcode|otp|pin code|puk|digicode|(?:doğrulama|onay) kodu(?:nuz)?)')}"
    "|(?:[Ss][Ii][Mm] |[Cc]ard )?P(?:IN|UK)[ :]"
    f"|{_CODE_QUALITY}[ -]?(?:[Cc]ode|[Kk]od|[Cc]ódigo|[Cc]odice)"
    f"|(?:[Cc]ode|[Kk]od|[Cc]ódigo|[Cc]odice|[Кк]од)(?: (?:de|di|du|do|of|for|da|para))? {_CODE_QUALITY}"
    ")|رمز التحقق|رمز الدخول|الرقم السري|暗証番号|認証コード|確認コード|验证码|驗證碼|인증번호"
)
_NO_CODE_OF = any_case("(?:error|status|exit|country|postal|zip|line|version|port|nr|step|rfc|iso)")
_UP_TO_DIGITS = f"[^0-9\\r\\n.!?;,،<{SEP}]{{0,40}}?[^0-9A-Za-z\\r\\n.<{SEP}-]"
_PHRASE_WORD = any_case("(?:clave|parola(?:sı)?|haslo|passwort|passphrase|secret phrase)")
_PHRASE_NAME = f"(?:{LONG_WORD}|{_PHRASE_WORD})"
_IS = "c['’]est|is|was|es|est|ist|è|é|jest|to|auf|als|as|lautet|olarak|on"
_WIFI = any_case("(?:wi-?fi|wlan|hotspot|kablosuz)")
_NO_PHRASE = any_case(
    "(?:for|on|in|at|of|the|and|not|no|ask|see|same|please|still|now|with|wrong|incorrect|invalid)(?:[ .,]|$)"
)
_STILL = "(?:still|literally|just|simply|now|always)"
_ABOUT = any_case(
    "(?:hash|length|polic|strength|minimum|maximum|at least|version"
    "|manager|attempt|history|error|expire|rotat|reset)"
)
_PASS_NAME = (
    "(?:[A-Z0-9_]{0,20}(?:PASS(?:WORD|WD|PHRASE)?|PWD|PSW)"
    "|(?:[a-z0-9_.]{1,20}[_.=])?(?:pass(?:word|wd|phrase)?|pwd|psw))"
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
    Rule(  # in quotes, whatever it is
        "PASSWORD",
        f"({_PHRASE_NAME}(?:[ '’][^0-9\"«“\r\n<={SEP}]{{0,40}}?)?(?:[:]|[ ](?:{_IS})|[ ][:]|sı)[ ]"
        f'["«“„][ \u00a0]?)([^"»”“<>\r\n{SEP}]{{4,60}}?)([ \u00a0]?["»”“])',
        examples=(
            'kannst du das root-passwort auf "‹nebel ueber der elbe›" setzen',
            'parola d\'ordine del NAS: "‹pane burro e alici›"',
            "le mot de passe provisoire est « ‹Moulin-Vert-38› ».",
            'yönetici parolası "‹Kapadokya!Balon›" olarak ayarlandı',
        ),
        stays=('invalid password for user "bob"', 'password: "is required"'),
        unless=(STAND_IN, CODE, LABEL, ".*[ ](?:is|must|required|should|incorrect)(?:[ .]|$)"),
        apart=True,
    ),
    Rule(  # what a person typed at a prompt
        "PASSWORD",
        f"((?:^|[\r\n])[^\r\n{SEP}]{{0,40}}?(?:{any_case('(?:enter|retype|repeat|new|confirm|type)')} )"
        f"[^\r\n:{SEP}]{{0,20}}?{_PASSWORD}(?: for [^\r\n:{SEP}]{{1,60}})?: ?)"
        f"([^\r\n{SEP}]{{6,60}})([\r\n]|$)",
        examples=("Enter passphrase for 'tank/private': ‹mole tango river nine›",),
        stays=("Enter password for anna: \nok",),
        unless=(STAND_IN, CODE, _NO_PHRASE, "[\"'`][)]"),
        apart=True,
    ),
    Rule(  # a pipe from a phrase in quotes
        "PASSWORD",
        f"((?:echo|printf) (?:-[neE]{{1,3}} ){{0,2}}(?:[\"']?%s(?:\\\\n)?[\"']? )?[\"'])"
        f"([^\"'\r\n$|{SEP}]{{6,60}})([\"'] ?[|] ?(?:sudo )?(?:gpg2? [^|\r\n]*passphrase-fd|cryptsetup|-S"
        "|restic|borg|ssh-add|vault kv|docker login|(?:[a-z]{1,20} ){1,4}--?(?:[a-z]{2,12}-)?stdin))",
        examples=("printf '%s\\n' \"‹Two Herons 87›\" | gpg --batch --passphrase-fd 0 -d x",),
        stays=("echo 'all is well' | cat",),
        unless=(STAND_IN,),
    ),
    Rule(  # what a generator printed
        "PASSWORD",
        f"((?:^|[^0-9A-Za-z_-])(?:openssl rand|pwgen|apg|pwqgen|mkpasswd|makepasswd|wg genkey|wg genpsk"
        f"|xkcdpass|diceware|pass generate|gopass pwgen|bw generate)(?: [^\r\n|<>{SEP}]*)?\r?\n[ \t]{{0,4}})"
        f"([^\\s\"'<>{SEP}]{{8,128}})([ \t]*[\r\n]|[ \t]*$)",
        examples=(
            "$ openssl rand -hex 16\n‹a23dc826692ed7904a27505a391fc75b›\n$",
            "pwgen -s 20 1\n‹jOYuZBNiy17IuNzGyLel›",
        ),
        stays=("run openssl rand to make one\nafterwards", "pwgen -s 20 1 | xclip\ndone"),
        need=f"(?:{SIGNS}|[0-9a-f]{{16}}).*",
        unless=(STAND_IN,),
    ),
    Rule(  # an argument, whatever it is
        "PASSWORD",
        f"((?:[Ss]et|[Ww]ith|[Uu]se|[Nn]ew)_?{_PASSWORD}[(][\"'])([^\"'\\\\\r\n{SEP}]{{6,60}})([\"'])",
        examples=('cfg.setPassword("‹Tulip;Krokus›");',),
        stays=('cfg.setPassword("db.password")', 'setPassword("enter a password")'),
        need="[^A-Z0-9;:!@#$%^&*]*[A-Z0-9;:!@#$%^&*].*",
        unless=(STAND_IN, CODE, ".*[ ]", "[A-Za-z_.-]+$"),
    ),
)

"""Passwords: known by the word before them, or by their place in a pair or a pipe."""

from fl_assets.events.redaction.blocks import (
    ASSIGN,
    CODE,
    ODD,
    PROSE,
    QUOTE,
    SEP,
    SIGNS,
    STAND_IN,
    VALUE_WORD,
)
from fl_assets.events.redaction.rule import Rule, Unless, any_case

UNCASED_WORD = (
    "パスワード|暗証番号|密码|密碼|口令|비밀번호|비번|암호|كلمة (?:ال)?(?:مرور|سر)|رمز المرور|الرقم السري"
    "|رمز عبور|گذرواژه|پاس ورڈ|סיסמ[הא]|पासवर्ड|পাসওয়ার্ড|கடவுச்சொல்|รหัสผ่าน"
)
_PLAIN_WORD = any_case("(?:pass(?:word|wd|phrase|code|wort)|pwd|contraseña|senha)")
LONG_WORD = any_case(
    "(?:pass(?:word|wd|phrase|code|wort|ord)|pwd|kennwort|contras(?:eñ|eny|en)a|senha|palavra-passe"
    "|mot de passe|mdp|wachtwoord|adgangskode|kodeord|hasło|heslo|lozinka|slaptažodis|lösenord"
    "|salas(?:a|õ)na|jelszó|şifre|parolă|parool|mật khẩu|kata (?:sandi|laluan)|lykilorð|pasahitza"
    "|zugangscode|κωδικ(?:ό|ο)ς(?: πρ(?:ό|ο)σβασης)?|συνθηματικό|пароль|парола|лозинка)"
)
"""Of thirty languages; those without capitals have a rule of their own."""
_SHORT_WORD = (
    f"(?:(?:^|[^A-Za-z]){any_case('(?:user|db|root|admin|bind|smtp|wpa)?(?:pass|pw|psw|psk)')}|[a-z]Pass)"
)
_ANY_WORD = f"(?:{LONG_WORD}|{_SHORT_WORD})"
_WEAK_WORD = any_case("(?:clave|parola|parole|geslo|sandi|access code|secret phrase|codice|secret_phrase)")
"""Words that mean other things too."""
LABEL = (
    f"(?:[A-ZÀ-Þ][a-zß-ÿ]+ (?:[a-zß-ÿ]{{2,5}} )?{LONG_WORD}|Pass(?:word|wort|phrase|code)|Kennwort|Senha"
    "|Contraseña|Mot de passe|Wachtwoord|Hasło|Heslo|Lösenord|Salasana|Jelszó|Şifre|Пароль)[?:*]?$"
)
"""What a page calls the field: `Passwort`, `Confirm password`."""
_ARTICLE = "(?:(?:la|le|el|il|lo|o|den|das|dem|der|die|het|de|the) )?"
_OF = "(?:del|della|dello|do|da|de|du|des|der|für|van|voor|till|til|para|pour|per|dla|on|for|of|to)"
_STILL = "(?: (?:still|now|just|currently|only|actually|always|again|probably|immer noch|jetzt|toujours))?"
_IS = (
    f"(?:{_OF} {_ARTICLE}(?:[^ \t\r\n:={SEP}]{{1,40}} ){{1,5}}(?:is|was|è|é|es|est|ist|lautet|är|er|to|jest)"
    f"{_STILL}"
    f"|(?:is|was){_STILL}|to|set to|changed to|is now|of"
    "|(?:will|would|should|must) be|has been (?:set|changed|reset) to"
    "|lautet|ist|est|es|era|é|è|to|je|jest|är|er|on|este|είναι|là|của tôi là"
    f"|{_OF} {_ARTICLE}[^ \t\r\n:{SEP}]{{1,40}}:"
    "|saya|adalah|ми е|—|–|->|→)"
)
"""What stands between a word and its value in prose, in some twenty languages."""
_NO_PASSWORD = (
    any_case(
        "(?:sha|aes|rsa|test_|md5|bcrypt|pbkdf2|argon2|base64|pkcs|utf|v[0-9]"
        "|[0-9]+(?:st|nd|rd|th|x|/|-|ms|s|%|of)|n?varchar|varbinary|char[(])"
    )
    + "|[a-z_-]+:[x*!]:[0-9]|[0-9]{1,3}-[0-9]{1,3}$"
)
_ABOUT_PASSWORDS = any_case(
    "(?:hash|length|polic|strength|minimum|min_|max_|at least|version|line|link|description|message"
    "|manager|mgr|attempt|history|error|expire|rotat)"
)
"""Words between `password` and a value that make it something about passwords."""
_ODD_LETTERS = "[A-Za-z_-]*(?:[A-Z]{2}[a-z][A-Za-z]*[_-][A-Za-z]|[A-Za-z][_-][A-Za-z]*[A-Z]{2}[a-z])"
"""Letters that no word or name in code has in this order: two capitals and a small one, and a mark."""
_DATE = (
    "(?:(?:19|20)[0-9]{2}[-./ ]?[01][0-9][-./ ]?[0-3][0-9]|[0-3][0-9][-./ ][0-3][0-9][-./ ](?:19|20)[0-9]{2})"
)
_GAP_WORDS = f"[^0-9:=;&<>,\r\n{SEP}]{{0,40}}?"
_SIGN = f"(?:[^0-9 \t\r\n\"'`<>(){{}}\\[\\],;&|\\\\“”«»「」『』{SEP}]|&[0-9!@#$%^*])"
_BARE = f"[^ \t\r\n\"'`\\\\,;&<>{SEP}]"
_FLAG_WORD = any_case("(?:password|passwd|passphrase|pass|pwd|pw|requirepass)")
_USE = any_case("(?:use|used|using|enter|entered|type|typed|try|tried|with|set)")
_SET_TO = any_case(
    "(?:(?:re)?set|changed|changing|switched|updated|rotated) (?:it|that|this|mine|yours|ours)(?: back)? to"
)
_TAG = "(?:!{1,2}[A-Za-z][A-Za-z_.]{0,20} )?"
_TYPES = "fill|type|send_?keys|sendKeys|set_value|setValue|input|press_sequentially|pressSequentially"

IN_TEXT = (
    Rule(  # a value in a map
        "PASSWORD",
        f"({_ANY_WORD}{SEP})([^{SEP}]+)()",
        examples=(f"password{SEP}‹correct horse battery›",),
        stays=(f"password{SEP}None",),
        unless=(STAND_IN, CODE, "[0-9]{1,5}$|[/~]", PROSE, Unless(before=PROSE)),
    ),
    Rule(
        "PASSWORD",
        f'({_ANY_WORD}{ASSIGN}{_TAG}")((?:[^"\\\\\r\n{SEP}]|\\\\[^\r\n{SEP}])+)(")',
        examples=('"password": "‹correct horse›"', 'DB_PASSWORD="‹l1ghthouse#7›"'),
        stays=('"password": "must be longer"', '"password": "<hidden>"', '{ password: "Passwort" }'),
        unless=(STAND_IN, PROSE, Unless(before=PROSE), LABEL, ".$"),
    ),
    Rule(  # in quotes within a string
        "PASSWORD",
        f"({_ANY_WORD}(?:{ASSIGN}{_TAG}|[ ](?:is|was)[ :]{{1,3}})(?:\\\\{{1,7}}[\"']|[\"'`“]))"
        f"([^\"'`”\\\\\r\n{SEP}]+)()",
        examples=(
            '{\\"password\\": \\"‹s3cret words›\\"}',
            "password='‹letmein›'",
            "db_password: !plain '‹Krokus›'",
        ),
        stays=("password='None'", "ALTER USER a WITH PASSWORD :'newpass'"),
        unless=(
            STAND_IN,
            "[)\\],; ]",
            PROSE,
            Unless(before=PROSE),
            LABEL,
            ".$",
            Unless(before=".*D[ ]:'$", value="[a-z_]+$"),  # a variable of psql
        ),
    ),
    Rule(
        "PASSWORD",
        f"((?:{_PLAIN_WORD}|{_SHORT_WORD})[0-9A-Za-z_-]{{0,20}}>)([^<>{SEP}]+)"
        f"(</[0-9A-Za-z_:-]{{0,40}}{_PLAIN_WORD})",
        examples=("<password>‹Kleiner-Baer›</password>",),
        stays=("<password>****</password>",),
        unless=(STAND_IN, PROSE),
    ),
    Rule(
        "PASSWORD",
        f"({_ANY_WORD}{ASSIGN})({_BARE}+(?:&[0-9!@#$%^*][^ \t\r\n\"'`\\\\,;&<>={SEP}]*)?)"
        "((?:[\"']|[ ][\"']<PASSWORD>)?)",
        examples=("PGPASSWORD=‹elephant-9› pg_dump", "pwd:‹hunter2›;", "contraseña: ‹Verano-7›"),
        stays=("password=None", "password=cfg.password", "pass: 12", "pwd=/usr/x", "password: hidden"),
        unless=(
            STAND_IN,
            CODE,
            Unless(value="[bBN]r?$", after="[\"']"),  # of b'…'
            Unless(value="!{1,2}[A-Za-z][A-Za-z_.]*$", after=" "),  # a tag of YAML
            "[0-9A-Za-z_.-]{1,32}:[$]",  # a name before a hash
            Unless(before="(?:[:]|%3[Aa])[ \t]*", value="[A-Za-z]+[.!]?$"),
            LABEL,
            "[0-9]{1,2}$",  # whether there is one, how many
            "[a-z]+[)]:$",  # pam_unix(passwd:chauthtok):
            Unless(before="[Pp][Aa][Ss][Ss][ \t]*[:=][ \t]*", value="[0-9]{1,5}$"),
            Unless(before="PASS: ", value="[Tt]est[_s:/]"),
            "[{][a-z_]+:?$",
            Unless(before="[Pp][Ww][Dd][ \t]*(?:[:=]|[=-]>|→)[ \t]*", value="[/~.]"),
        ),
    ),
    Rule(
        "PASSWORD",
        f"({_ANY_WORD}{QUOTE}?[ \t]*(?::|%3[Aa])[ \t]*)"
        f"((?:[a-z]{{4}} ){{3}}[a-z]{{4}}|[A-Za-z]+[.!]?)([^\r\n{SEP}]{{0,2}})",
        examples=("password: ‹letmein›", "password: ‹txpf semt tgjz phbs›"),
        stays=("password: please try again",),
        unless=(STAND_IN, CODE, Unless(after=" [A-Za-z('\"]|[^ \t\"'`\\\\,;&<>]")),
    ),
    Rule(
        "PASSWORD",
        f"((?:(?:^|[^0-9A-Za-z])--?(?:[A-Za-z]{{1,12}}-)?{_FLAG_WORD}|requirepass"
        f"|{any_case('identified by|with password')}|sshpass -p|redis-cli[^\r\n<{SEP}]{{0,60}}? -a)"
        "[ ]+(?:\\\\{0,7}[\"'])?)"
        f"([^ \t\r\n\"'\\\\<$*{SEP}-][^ \t\r\n\"'{SEP}]*)()",
        examples=("gpg --passphrase ‹violet-Ink› -d x", "identified by '‹letmein›'"),
        stays=(
            "--password directive",
            "--password $PASS",
            "--no-password given",
            "usage: x [--password PASSWORD] [-h]",
            "--pass 2 of 3: extracting",
            "identified by password: caching_sha2_password",
        ),
        unless=(
            STAND_IN,
            "(?:directive|option|setting|parameter)$|[(]|[A-Z]{3,10}[\\])}|>,.]*$|[0-9]{1,2}$|[a-z]+:$",
            Unless(before=".*--(?:no|without|ask|skip|prompt)-.*"),
        ),
    ),
    Rule(
        "PASSWORD",
        f"((?:(?:ht|wpa_|publickey,|interactive,)?{LONG_WORD}(?:'?s|et|m|niz|ni)?(?: {_IS})?"
        f"|{_SHORT_WORD} (?:is|was|ist|es|est|är))"
        f":?[ ]+[\"'`“«]? ?)"
        f"([^ \t\r\n\"'`<>“”«»{SEP}]{{4,}})()",
        examples=(
            "The password is ‹s3cret!›",
            "Das Passwort lautet ‹Herbst2026›",
            "hasło to ‹kot#4711›",
            "my password is ‹LHTJj_gbvbXc› now",
        ),
        stays=(
            "password must be set",
            "password OAUth_flow",
            "the password is user_name",
            "password sha256",
            "the password of step 12-14",
            "Accepted publickey,password build-07",
        ),
        need=f"{SIGNS}.*|[0-9]{{4,8}}|{_ODD_LETTERS}.*",
        unless=(
            STAND_IN,
            CODE,
            f"[(]|{_NO_PASSWORD}|[a-z]+_[a-z_]+=[0-9]+$",
            ".*[:=]$",
            Unless(before="^[^ ]+[ ]+[\"'`“«]?", value="[A-Za-z_-]+[.,;!?]?$"),
            Unless(
                before="^(?:ht|wpa_|publickey|interactive).*"
            ),  # programs, whose password is not the next word
            Unless(before="passwd ", value="[a-z][a-z0-9_.-]*$"),
        ),
    ),
    Rule(
        "PASSWORD",
        f"((?:{UNCASED_WORD})(?:{ASSIGN}|[ ]?(?:は|是|为|為|는|은|คือ|ה?של[יך] היא|היא|هي|هو)?[ ]?)"
        "\\\\{0,7}[「『“\"']?)([!#-&(-;=?-~]{4,})()",
        examples=(
            "비밀번호는 ‹vkcKMRbYlmByEO› 입니다",
            "密码是‹abc123!›",
            "パスワードは「‹abc123!›」",
            "비밀번호: ‹abc123!›",
        ),
        stays=("密码 error", "パスワードは passwordHash に"),
        need=f"{SIGNS}.*|{ODD}.*",
    ),
    # some words further on, in brackets, quotes or a column of a table: what no word or number looks like
    Rule(
        "PASSWORD",
        f"((?:ht|wpa_)?{LONG_WORD}(?:{ASSIGN}(?:[A-Za-z]*[Ss]tr(?:ing)?(?:::from)?|Some|b)[(][\"']"
        f"|{_GAP_WORDS}(?:[ \t:=|\"'`(\\[{{「『“«*➜\\\\]{{1,6}}"
        f"|[^0-9:=;&<>\r\n{SEP}]{{0,20}}?[ \"'(`]{{1,3}})))"
        f"({_SIGN}{{0,40}}[0-9](?:{_SIGN}|[0-9])*)([(=:\\[]?)",
        examples=("The password for the account is ‹Zx9!kLm#2Qp.›",),
        stays=("password reset for user jdoe42", "password: z.string().min(8)"),
        need=f"{SIGNS}.*",
        unless=(
            STAND_IN,
            CODE,
            f"{_NO_PASSWORD}|[0-9A-Za-z_.-]{{1,32}}:[$]|[0-9a-f]{{32}}|.*(?:://|@[0-9A-Za-z-]+[.][a-z])|.{{0,5}}$|{_DATE}",
            "[/~.$]|#[0-9]+|[A-Za-z_][0-9A-Za-z_]*[=:]|[A-Z]{1,4}-[0-9-]+[.]?$",
            Unless(
                before="(?:[^:=|➜,(\\[ ][ ]+[\"'`]?|,[ ]*|[\"'][^\"']{1,40}[\"'], ?[\"'])",
                value="(?:[A-Za-z._/-]+[0-9.]+|[0-9]+[A-Za-z.]*[0-9]*)[.,!?]?$",
            ),
            Unless(before=f"(?:{_ABOUT_PASSWORDS}|(?:ht|wpa_)[^:=]*$).*"),
            Unless(before=".*[0-9A-Za-z_)\\]]\\[[\"']", value="[a-z_]+[0-9]?$"),  # of a form
        ),
        alone=True,
        apart=True,
    ),
    Rule(
        "PASSWORD",
        f"((?:{_PLAIN_WORD}|{_SHORT_WORD})[^<>{SEP}]{{0,80}}?"
        f'(?:{VALUE_WORD}|"(?:\r?\n|(?:\\\\{{1,2}}r)?\\\\{{1,2}}n){{2}}'
        f"|[\"'][^<>=\r\n{SEP}-]{{0,20}}>[\"']?))"
        f"([^\"'<>\\\\\r\n{SEP}]+)([\"'<\\\\\r\n]?)",
        examples=(
            '{"name": "DB_PASSWORD", "value": "‹hunter2›"}',
            'variable "db_password" { default = "‹c0rrect-horse›" }',
            '<entry key="db.password">‹hunter2›</entry>',
        ),
        stays=('<input name="password"> Enter', '"password_length", "value": "12"'),
        unless=(
            STAND_IN,
            "[0-9]{1,3}$|.* [A-Za-z]",
            Unless(before=">", value=" |[A-Za-z]+$"),
            Unless(before=f"{_ABOUT_PASSWORDS}.*"),
        ),
        apart=True,
    ),
    Rule(
        "PASSWORD",
        f"((?:{_USE} [\"'`]?|value=[\"']))([^ \t\r\n\"'`<>{SEP}]{{4,}})"
        f"([\"'`]? (?:as|in|into) (?:[a-z]{{1,8}} ){{0,2}}{_PLAIN_WORD}"
        f"|[\"'][^<>\r\n{SEP}]{{0,60}}type=[\"']?password)",
        examples=(
            "use '‹tulip-7›' as the password",
            'typed "‹tulip-7›" into the password field',
            '<input value="‹tulip-7›" type="password">',
        ),
        stays=("use words as the password",),
        need=f"{SIGNS}.*",
        unless=(STAND_IN,),
    ),
    Rule(  # the word further on in the sentence
        "PASSWORD",
        f"({_SET_TO} [\"'`]?)([^ \t\r\n\"'`<>{SEP}]{{6,}}[^ \t\r\n\"'`<>,.;{SEP}])"
        f"([\"'`]?[^\r\n{SEP}]{{1,60}}?(?:{_PLAIN_WORD}|[Ll]og ?in))",
        examples=("I reset it to ‹tulip-47›, please use that password",),
        stays=("I set it to 30s, the login works",),
        need=f"{SIGNS}.*",
        unless=(STAND_IN, CODE, "[0-9]"),
    ),
    Rule(  # what a browser is to type
        "PASSWORD",
        f"((?:(?:{_TYPES})[(][\"'][^,\r\n{SEP}]{{0,60}}?{_PLAIN_WORD}[^,\r\n{SEP}]{{0,6}}?[\"'], ?"
        f"|{_PLAIN_WORD}[0-9A-Za-z_\"'\\\\ =-]{{0,12}}\\]?\\\\{{0,2}}[\"'][)]?"
        f"(?:[)]?[.](?:{_TYPES})[(]|, ?[\"'](?:text|value)[\"']: ?))\\\\{{0,2}}[\"'])"
        f"([^\"'\\\\\r\n{SEP}]{{4,}})(\\\\{{0,2}}[\"'])",
        examples=(
            "page.fill('#password', '‹tulip=krokus›')",
            """page.locator("input[name='password']").fill('‹tulip-7›')""",
            "cy.get('[type=password]').type('‹tulip-7›')",
        ),
        stays=("page.fill('#password', '')",),
        need="[^ ]*[0-9!@#$%^&*=+?~].*",
        unless=(STAND_IN, CODE, "[a-z]+(?:[_-][a-z]+)*$", "[#.\\[/]"),
    ),
    Rule(  # a file of answers for an installation
        "PASSWORD",
        f"(<Value>)([^<>{SEP}]{{4,}})(</Value>\\s{{0,20}}<PlainText>)",
        examples=("<Value>‹tulip-7›</Value><PlainText>true</PlainText>",),
        unless=(STAND_IN,),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^A-Za-z_])[Pp][Ww] )([^ \t\r\n\"'`<>=:/{SEP}]{{8,}})()",
        examples=("BIOS admin pw ‹tulip-47› on rack 4",),
        stays=("set pw policy-2 first",),
        need=f"{SIGNS}.*",
        unless=(STAND_IN, CODE, "[a-z]+[_-][0-9]$"),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^A-Za-z])(?:{_WEAK_WORD}(?: (?:de acceso|chiave|d'ordine|mea|mi|wifi))?(?: {_IS} |{ASSIGN}))"
        f"[\"'`]?)([^ \t\r\n\"'`<>,;{SEP}]{{6,}})()",
        examples=("la clave es ‹Verano-2026›", "access code: ‹tulip-4711›"),
        stays=("clave: col_12",),
        need=f"{SIGNS}.*",
        unless=("[a-z_]+[0-9]{1,2}$", STAND_IN, CODE, f"{_NO_PASSWORD}|[/~.$]|.*://"),
    ),
)

_LOGIN = any_case(
    "(?:logins?|(?:log|sign) ?in (?:with|as|using)"
    "|creds|credentials|zugang|zugangsdaten|identifiants|credenciales|user/pass(?:word)?)"
)
_CREDS = any_case(
    "(?:creds|credentials|zugangsdaten|identifiants|credenciales|credenziali|user/pass(?:word)?)"
)
_USER_WORD = any_case("(?:user(?:name)?|login|usuario|benutzer|utilisateur|utente)")
_PASS = any_case("(?:pass|pw|pwd|psw|mdp|clave|kennwort|contraseña|password)")
_PAIR = (
    "(?:[Aa]uth(?:(?:enticat(?:or|ion))?(?:Provider|Handler|Token|Filter)?)?|[Cc]redentials?|[Ll]ogin"
    "|entication)=?[(]"
)

IN_PLACES = (
    Rule(  # FTP, SMTP, POP
        "PASSWORD",
        f"((?:^|[\r\n])PASS )([^ \t\r\n{SEP}]{{4,}})()",
        examples=("USER backup\n331 Password required\nPASS ‹n1ghtly-run›",),
        stays=("PASS tests/test_a.py::test_b",),
        need=f"{SIGNS}.*",
        unless=(STAND_IN, "[^.]*[.]py", ".*::"),
    ),
    Rule(  # lines of .pgpass
        "PASSWORD",
        f"((?:^|[ \t\r\n\"'])[0-9A-Za-z_.*-]{{1,80}}:(?:[0-9]{{4,5}}|[*]):"
        "(?:[*]|[A-Za-z_][0-9A-Za-z_-]{0,60})"
        f":[0-9A-Za-z_.*@-]{{1,60}}:)([^ \t\r\n:\"'/{SEP}]{{4,}})()",
        examples=("db1.acme.io:5432:agents:agent_rw:‹Wolk3nbruch›",),
        stays=("host:8080:pool:worker:started", "2a02:8108:b348:c072:78e2:1ee7:f9a1:zz"),
        need=f"{SIGNS}.*",
        unless=(STAND_IN, CODE, Unless(before="^[^0-9A-Za-z]?(?:[0-9A-Fa-f]{1,4}:)+")),  # IPv6
        apart=True,
    ),
    Rule(  # a pipe
        "PASSWORD",
        f"((?:echo|printf|yes) (?:-[neE]{{1,3}} ){{0,2}}(?:[\"']?%s(?:\\\\n)?[\"']? )?[\"']?"
        f"(?:[a-z][a-z0-9_.-]{{0,30}}:)?)"
        f"([^ \t\r\n\"'<>$|{SEP}][^ \t\r\n\"'<>|{SEP}]{{3,}})"
        "([\"']? ?[|] ?(?:sudo )?(?:chpasswd|passwd|-S|docker login|cryptsetup|smbpasswd|vncpasswd|kinit"
        "|gcloud secrets|gpg|vault kv|ssh-add|restic|borg|(?:[a-z]{1,20} ){1,4}--?(?:[a-z]{2,12}-)?stdin"
        "|(?:[a-z]{1,20} )?-S))",
        examples=(
            "echo ‹tulip-7› | sudo -S ls",
            "echo -n ‹tulip-7› | cryptsetup open x y -",
            "echo root:‹tulip-7› | chpasswd",
            "printf '%s' '‹tulip-7›' | cryptsetup open x y -",
            "yes ‹tulip-7› | passwd anna",
        ),
        unless=(STAND_IN,),
    ),
    Rule(  # a pair in prose
        "PASSWORD",
        f"((?:^|[^A-Za-z])(?:{_LOGIN}(?: for (?:[0-9A-Za-z_.-]{{1,30}} ){{1,4}}(?:is|are|was)"
        f"| (?:is|are|was|for [0-9A-Za-z_.-]{{1,40}})|:|=)? "
        f"[\"'`]?[0-9A-Za-z_.@-]{{1,40}}(?: ?/ ?| : )|{_USER_WORD}:? [\"'`]?[0-9A-Za-z_.@-]{{1,40}}[\"'`]?"
        f"[ ,;/]{{1,3}}(?:(?:and|y|und|et|e|with) )?{_PASS}:? ))([^ \t\r\n\"'`<>()/{SEP}]{{8,}})()",
        examples=(
            "the staging login is qa / ‹tul1p-Krokus›",
            "creds: admin/‹Tulip-4711›",
            "user admin pass ‹Tulip471› for it",
        ),
        stays=("login: auth/oauth2-callback", "login at api / v2-internal", "creds: admin/Tulip-store"),
        need="(?:[^0-9]*[0-9].*[A-Z]|[^A-Z]*[A-Z].*[0-9]|[^0-9]*[0-9].*[!@#$%^&*]|.*[!@#$%^&*].*[0-9]).*",
        unless=(STAND_IN, CODE, ".*(?:://|[.][a-z]{2,5}$)", "[A-Z]+[_-]?[0-9]+$"),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^A-Za-z]){_CREDS}(?: (?:is|are|was|for [0-9A-Za-z_.-]{{1,40}})|:|=)? "
        f"[\"'`]?[0-9A-Za-z_.@-]{{1,40}}(?: ?/ ?| : ))([^ \t\r\n\"'`<>()/:{SEP}]{{6,}})()",
        examples=("creds are anna / ‹tulip-krokus31›",),
        stays=("creds: admin/Tulip-store",),
        need="[^0-9]*[A-Za-z][^0-9]*[0-9]{2}.*",
        unless=(STAND_IN, CODE, ".*(?:://|[.][a-z]{2,5}$)", "[A-Z]+[_-]?[0-9]+$"),
    ),
    Rule(  # a protocol whose answer says what it was
        "PASSWORD",
        f"((?:^|[\r\n ])PASS )([^ \t\r\n{SEP}]{{4,}})(\r?\n(?:[+]OK|2[0-9]{{2}}[ -]))",
        examples=("agent: PASS ‹nightly-run›\n+OK logged in",),
        unless=(STAND_IN,),
    ),
    Rule(  # a name and a password in code
        "PASSWORD",
        f"({_PAIR}[\"'][^\"'\r\n{SEP}]{{1,64}}[\"'], ?(?:Some[(])?[\"'])([^\"'\r\n{SEP}]{{4,}})([\"'])",
        examples=(
            "auth=('bot', '‹tulip-7›')",
            'basic_auth("bot", Some("‹r3qwest.rs›"))',
            'new HttpBasicAuthenticator("bot", "‹tulip-7›")',
        ),
        stays=('authorize("admin", "write")',),
        unless=(STAND_IN,),
    ),
)

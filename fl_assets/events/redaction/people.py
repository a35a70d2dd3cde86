"""E-mail addresses and home folders."""

from fl_assets.events.redaction import linear
from fl_assets.events.redaction.blocks import SEP
from fl_assets.events.redaction.rule import ESCAPED, LETTERS, MASKED, WORD, Rule, Unless

_EMAIL_CHAR = f"0-9{LETTERS}._+-"
_AT_DOMAIN = f"(?:@|%40)(?:[0-9{LETTERS}-]+[.])+(?:[{LETTERS}]{{2,24}}|xn--[0-9A-Za-z-]{{2,40}})"
_NO_DOMAIN = (
    "(?:png|jpe?g|gif|svg|webp|js|json|css|html|xml|ya?ml|txt|log|service|socket|timer|target|slice|mount)"
)
_CODE_FILE = "(?:conf|cfg|toml|ini|lock|whl|dll|exe)"
_ARGUMENT = "(?:-[^ @\r\n]+|[0-9]+|[^ @\r\n-][^ @\r\n]*[./_~=][^ @\r\n]*)"
_OWN_NET = "(?:internal|local|localdomain|lan|intern|corp|home|invalid|arpa)"
_LOGIN = f"(?:^|[^0-9A-Za-z._/-])(?:ssh|scp|sftp|rsync|mosh|autossh|sshfs|ssh-copy-id)(?: {_ARGUMENT})* "
"""A command behind which `user@host` is a login, with its options and files."""
_HEADER = (
    "(?:[Mm]essage[-_]?[Ii][Dd]|In-Reply-To|References)[\"']?: ?[\"']?<"
    f"(?:[^ @<>\r\n]*[^ @<>\r\n{_EMAIL_CHAR}])?"
)
"""A header in which an id has the form of an address."""
_BEFORE_EMAIL = "|".join(
    (
        _LOGIN,
        _HEADER,
        "[0-9A-Za-z]/|sips?:|<EMAIL>",
        f"://(?:[^ /@:<>{SEP}]{{1,30}}:)?[$%{{]*",
        f"[^{WORD}]@|^@|^|{ESCAPED}|[^{_EMAIL_CHAR}]",
    )
)
_SCRIPT = "\u0590-\u06ff\u0900-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_NAME = f"[0-9{LETTERS}{_SCRIPT}_@][0-9{LETTERS}{_SCRIPT}_@-]*(?:[.][0-9{LETTERS}{_SCRIPT}_@-]+)*"
_ROUTE = "(?:GET|POST|PUT|PATCH|DELETE|HEAD|route|endpoint) "
_HOMES = "|".join(
    (
        f"{_ROUTE}[\"']?",
        MASKED,
        "^",
        ESCAPED,
        "[^0-9A-Za-z_./-]",
        "(?:^|\n)-",
        "(?:^|[^.])[.]{2}",
        "file:/{1,2}(?:localhost)?",
        "(?:^|[^0-9A-Za-z])-[A-Za-z]+",  # glued to a flag
        "(?:smb|afp|nfs|cifs|sftp)://[0-9A-Za-z._@:-]{1,60}",
        "vscode-remote://[0-9A-Za-z.+%_-]{1,40}",
        "://file",
        "[a-z]:/{2,3}",
        "(?:^|[^0-9A-Za-z])/(?:export|var|usr|data|nfs|net|private/var|mnt/[0-9A-Za-z_-]{1,20}|cygdrive/[a-z]|[a-z]"
        f"|System/Volumes/Data|(?:Volumes|media)/[^/\r\n{SEP}]+)",
    )
)
"""What may stand before `/home` or `/Users`."""
_GROUP = "(?:(?:staff|students?|faculty|users)[\\\\/]{1,2})?"
"""A folder between that of all homes and a home."""
_WINDOWS_HOME = (
    "(?:(?:[A-Za-z](?::|%3[Aa])|[^0-9A-Za-z]|[\\\\]{2,4}[0-9A-Za-z._-]{1,40})(?:[\\\\/]{1,8}|%5[Cc])"
    "|^|[\"'=(])(?:[Uu][Ss][Ee][Rr][Ss]|Documents and Settings|DOCUME~[0-9])(?:[\\\\/]{1,8}|%5[Cc])"
)
_IS_NO_DRIVE = "^(?:[^0-9A-Za-z:]/|[^0-9A-Za-z]?[Uu][Ss][Ee][Rr][Ss]/).*"
_NOBODYS = (
    "Shared|Public|Default|Guest|linuxbrew|index|dashboard|page|pages|settings|user|username|you|yourname|USERNAME"
    "|runner|runneradmin|vsts|vsts_azpcontainer|circleci|travis|buildkite-agent|gitlab-runner|jenkins|ubuntu"
    "|ec2-user|azureuser|vagrant|vscode|codespace|gitpod|jovyan|node|airflow|www-data|nonroot|appuser|app"
    "|ContainerAdministrator|ContainerUser"
)
"""Folders beside homes, and accounts that a machine or an image comes with."""
_ACCOUNTS = (
    "root|daemon|bin|sys|nobody|systemd-[a-z]+|messagebus|syslog|postgres|mysql|redis|mongodb|nginx|apache|httpd"
    "|www|tomcat|elasticsearch|kibana|logstash|grafana|prometheus|rabbitmq|consul|vault|etcd|kafka|zookeeper|hadoop"
    "|hdfs|hive|spark|docker|podman|git|gitea|gitlab|svn|sshd|ftp|mail|postfix|backup|games|operator|oracle|_[a-z]+"
)
"""Accounts of services, which own files and have no home."""
_COMMON = (
    "[a-z]?|admins?|administrator|agents?|alpha|anaconda|analytics|android|apps?|arch|base|bash|bench(?:mark)?|beta"
    "|bots?|build(?:er|s)?|cache|centos|chrome|ci|claude|clients?|cloud|cod(?:e|er|ex)|common|compose|conda|config"
    "|containers?|core|customers?|cursor|data(?:base)?|debian|debug|default|demo|deploy(?:er|ment)?|dev(?:el|eloper"
    "|elopment|ops|in)?|discourse|django|docs?|e2e|elastic|errors?|eval|events?|examples?|fedora|files?|firefox|flask"
    "|github|groups?|home|hosts?|https?|images?|infra|java|jupyter|kali|kernel|labs?|linux|local(?:host)?|login|logs?"
    "|main|manager|master|media|model|models|monitor|network|odoo|ollama|openhands|ops|packages?|pi|pipeline|prod"
    "|production|projects?|proxy|python|rails|release|repos?|research|robot|ruby|sandbox|scripts?|secure|server|services?"
    "|setup|shell|source|src|staff|stag(?:e|ing)|steam|storage|students?|sudo|super|superuser|support|swe-?(?:agent|bench)"
    "|sync|system|tasks?|team|temp|tests?|test(?:er|ing|bed|user)|tmp|tools?|train(?:ing|er)?|users?|version|video|web|windows|work"
    "(?:er|ers|space|spaces)?|will|mark|bill|grace|rose|jack|frank|hope|joy|faith|dawn|chance|case|chase|drew|hunter"
    "|mason|cooper|amber|crystal|jasmine|julia|miles|page|rich|nick|gene|summer|april|june|august|sage|basil|iris|lily"
    "|olive|angel|destiny|guy|dean|penny|sandy|sunny|wade|pierce|grant|trace|lane|max|min|may|pat|ray|rob|sue|art|any"
    "|all|new|old|the|and|not|for|log|run|git|org|com|net|www|api|sql|xml|job|key|end|get|set|put|out|yes|true|false"
)
"""Names that are words, too, or things: they may well stand elsewhere in a text."""
_is_common = linear.fully(f"(?i)(?:{_NOBODYS}|{_ACCOUNTS}|{_COMMON})[0-9]*")
_SHORTEST_NAME = 4


def is_telling_name(name: bytes) -> bool:
    """Tell whether the name of a user is no word that may well stand elsewhere in a text."""
    return len(name) >= _SHORTEST_NAME and not _is_common(name)


RULES = (
    Rule(
        "EMAIL",
        f"({_BEFORE_EMAIL})"
        f"([{_EMAIL_CHAR}]+(?:'[{_EMAIL_CHAR}]+){{0,2}}{_AT_DOMAIN}(?:[{_EMAIL_CHAR}]*{_AT_DOMAIN}){{0,3}})"
        "((?:[(]|:[0-9A-Za-z._~-]*/)?)",
        examples=(
            "mail ‹jo.o'neil@example.com›",
            "to=‹jo%40example.com›",
            "<‹jö@müller.example›>",
            "‹jo@a.so›, ‹jo@a.py›, ‹x.T@a.org›",
        ),
        stays=(
            "git@github.com:a/b.git",
            "icon@2x.png",
            "user@host",
            "getty@tty1.service",
            "ssh -p 2222 deploy@web01.example.com",
            "scp -r ./dist a.tar jo@web01.example.com:/srv",
            "Message-ID: <20261130.4F2A@mail.example.com>",
            "In-Reply-To: <CAF=x+9kQ@mail.example.com>",
            "INVITE sip:100@pbx.example.com",
            "to=sip:ivr@pbx.internal",
            "HTTP/web.example.com@EXAMPLE.COM",
            "inverse(X.T@X.values)",
        ),
        unless=(
            f"[+-]?git@|[+][0-9]{{8,15}}@|[0-9]{{11,15}}@(?:c[.]us|s[.]whatsapp)|.*@[0-9]x[.]|.*[.]{_NO_DOMAIN}$"
            f"|[^@]+@[^.]+[.]{_CODE_FILE}$|[A-Z][A-Za-z_]*[.]T@[A-Z][0-9]?[.][a-z]",
            Unless(before=f"(?:{_LOGIN}|{_HEADER})"),
            Unless(before="sips?:", value=f"(?:[+]?[0-9*#]+@|[^@]+@.*[.]{_OWN_NET}$)"),
            Unless(before="/", value="[^@]*@[A-Z0-9.-]+$"),
            Unless(before="^(?:<[A-Z]|://|[^0-9A-Za-z]?@).*"),
        ),
        alone=True,
    ),
    Rule(
        "HOME_USER",
        f"((?:{_HOMES})\\\\?/(?:home[0-9]?|homes|Users)\\\\?/{_GROUP})((?:[A-Z][A-Z0-9-]{{1,14}}/)?{_NAME})()",
        examples=(
            "/home/staff/‹jdoe›/x",
            "/home2/‹jdoe›/x",
            "/home/‹CORP/jdoe›/x",
            "/Users/‹山田太郎›/x",
            "/Volumes/Macintosh HD/Users/‹jdoe›/x",
            "smb://nas.local/home/‹jdoe›/x",
            "open /home/‹jdoe›/x.py",
            "file:///Users/‹jo.doe›/x",
            "rm -rf /mnt/nas/home/‹jdoe›",
            "../home/‹jdoe›/x",
            "/homes/‹jdoe›/x",
            "cc -L/Users/‹jdoe›/lib",
            "/media/usb/home/‹jdoe›/x",
            "/Volumes/Jo's Disk (2)/Users/‹jdoe›/x",
        ),
        stays=(
            "/home/runner/work/x",
            "/Users/you/x",
            "https://example.com/home/x",
            "/Users/Shared/x",
            "GET /home/jdoe",
            "/homes/listing/42",
            "pre-release/home/jdoe",
            "/home/index.html",
        ),
        unless=(
            "(?:your|YOUR)[_-]",
            Unless(before=".*homes/", value="(?:listings?|search|for[_-]|sale|rent|buy|new)"),
            f"(?:(?:{_NOBODYS}|[0-9]+|[0-9a-f]{{8}}-[0-9a-f-]{{27}})$|.*[.](?:html?|php|aspx|jsp)$)",
            Unless(before=f"^(?:{_ROUTE}|<[A-Z]).*"),
        ),
    ),
    Rule(  # Windows' view of a Linux
        "HOME_USER",
        f"([\\\\/]{{2,8}}wsl(?:[$]|[.]localhost)[\\\\/]{{1,4}}[^\\\\/\r\n{SEP}]{{1,40}}[\\\\/]{{1,4}}home[\\\\/]{{1,4}})"
        f"({_NAME})()",
        examples=("\\\\wsl$\\Ubuntu\\home\\‹jdoe›\\p",),
    ),
    Rule(  # in names of folders of caches
        "HOME_USER",
        "((?:[/\\\\]|^)(?:-(?:Users|home)-|[A-Za-z]--Users-|_bazel_))([a-z][0-9A-Za-z]{1,30})()",
        examples=(
            "projects\\C--Users-‹jdoe›-x",
            "~/.claude/projects/-Users-‹jdoe›-work-api",
            "/var/tmp/_bazel_‹jdoe›/ab12",
        ),
        stays=("a-Users-page", "/-Users-shared/x"),
        unless=(f"(?i:{_NOBODYS})$",),
    ),
    Rule(
        "HOME_USER",
        f"(%(?:25)?2[Ff](?:home|Users)%(?:25)?2[Ff])({_NAME})()",
        examples=("path=%2Fhome%2F‹jdoe›%2Fx", "x%252FUsers%252F‹jdoe›%252Fx"),
        stays=("%2Fhome%2Frunner%2Fx",),
        unless=(f"(?:{_NOBODYS})$",),
    ),
    Rule(  # shares of a network
        "HOME_USER",
        f"([\\\\]{{2,8}}[0-9A-Za-z._-]{{1,60}}[\\\\]{{1,4}}(?i:users|homes?|profiles)[$]?[\\\\]{{1,4}})({_NAME})()",
        examples=("\\\\nas\\homes\\‹jdoe›\\x", "\\\\fs01\\users$\\‹jdoe›\\x"),
        stays=("\\\\fs01\\profiles\\Default\\x",),
        unless=(f"(?:{_NOBODYS})$",),
    ),
    Rule(
        "HOME_USER",
        f"((?:/(?:export|net|nfs|srv|storage|volume[0-9]{{1,2}})(?:/[0-9A-Za-z_-]{{1,20}})?/homes"
        f"|(?:(?:^|[ ])|(?:smb|cifs|afp):)//[0-9A-Za-z._@:-]{{1,60}}/(?:homes?|users)"
        f"|/afs/[0-9A-Za-z._-]{{1,40}}/(?:users?|home|usr)(?:/[0-9a-z]{{1,2}}){{0,2}}|/run/media)/)({_NAME})()",
        examples=(
            "rsync x nas:/volume1/homes/‹jdoe›/",
            "/afs/cern.ch/user/j/‹jdoe›/public",
            "mount -t cifs //nas/users/‹jdoe› /mnt",
            "smb://nas.local/users/‹jdoe›/x",
            "/run/media/‹jdoe›/usb/x",
        ),
        stays=("https://example.com/homes/x", "https://example.com/users/jdoe", "/afs/cern.ch/user/j"),
        unless=(f"(?:{_NOBODYS}|[0-9]+|[0-9a-z]|.*[.](?:js|css|png|html?|php|aspx))$",),
    ),
    Rule(  # the owner of a file that is listed
        "HOME_USER",
        "((?:^|[^0-9A-Za-z])[bcdlps-](?:[r-][w-][xsS-]){2}[r-][w-][xtT-][.+@]? +[0-9]+ )"
        "([A-Za-z][0-9A-Za-z_.-]{2,31})( +[0-9A-Za-z_.-]{1,32} +[0-9])",
        examples=("drwxr-xr-x  5 ‹jdoe› staff 160 Mar  1 10:00 src",),
        stays=(
            "-rw-r--r-- 1 root root 12 x",
            "-rw-r--r-- 1 ubuntu ubuntu 12 x",
            "drwxr-xr-x 2 deploy deploy 64 x",
        ),
        unless=(f"(?i)(?:{_NOBODYS}|{_ACCOUNTS}|{_COMMON})[0-9]*$",),
    ),
    Rule(
        "HOME_USER",
        f"({_WINDOWS_HOME})({_NAME}(?: {_NAME}){{1,2}})([\\\\/])",
        examples=("C:\\Users\\‹Jo Doe›\\x",),
        stays=("C:\\Users\\Public\\x",),
        unless=("(?:All Users|Default User)$", Unless(before=_IS_NO_DRIVE)),
    ),
    Rule(
        "HOME_USER",
        f"({_WINDOWS_HOME})({_NAME})()",
        examples=("C:\\Users\\‹jdoe›", "cwd=Users\\‹jdoe›\\x"),
        stays=("D:\\Users\\Default\\x", "Users/index.js"),
        unless=(f"(?:{_NOBODYS}|All)$", Unless(before=_IS_NO_DRIVE)),
    ),
    Rule(
        "HOME_USER",
        f"((?:^|[ \"'`=:,({SEP}])~)([a-z][a-z0-9_.-]{{2,31}})(/)",
        examples=("ls ~‹jdoe›/x",),
        stays=("~/x", "a~b/c"),
    ),
    Rule(
        "HOME_USER",
        "((?:^|[^0-9A-Za-z])(?:cd|ls|pushd|du|find|cp|mv|rm|cat)(?: -[a-zA-Z]{1,4})? ~)"
        "([a-z][a-z0-9_-]{2,31})([^0-9A-Za-z/_.-]|$)",
        examples=("cd ~‹jdoe› && ls",),
        stays=("cd ~", "it is ~ten"),
    ),
)

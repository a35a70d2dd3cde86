"""What the rules of secrets share: signs of assignment, stand-ins for a value, names in code, shapes."""

from fl_assets.events.redaction.rule import KEY_SEPARATOR, WORD, any_case

SEP = KEY_SEPARATOR
QUOTE = "(?:\\\\{0,7}[\"'`])"
ASSIGN = (
    f"{QUOTE}?(?:\\[?\\])?[ \t]*"
    f"(?:[?]?:[ ]?&?(?:'static )?[Ss]tr(?:ing)?[ ]?=|=>|->|→|:=|==|[:={SEP}：]|%3[AaDd])[ \t]*"
)
"""What stands between a name and its value, in some ten languages of programming."""

WORD_VALUES = any_case(
    "(?:see|siehe|voir|vedi|none|null|nil|na|n/a|true|false|undefined|empty|required|missing|invalid|incorrect|wrong|expired"
    "|string|str|secretstr|optional|not|is|must|cannot|can|was|has|does|should|unset|redacted|hidden|masked"
    "|removed|filtered|sensitive|yes|no|field|value|reset|changed?|failed|error|mismatch|unauthorized"
    "|obligatoria|obligatorio|requerida|requerido|requise?|erforderlich|falsch|ungültig|inválida|inválido|incorrecta|incorrecto|incorrecte|incorreta"
    "|obrigatória|obrigatório|obbligatoria|obbligatorio|errata|errato|vereist|onjuist|ongeldig|wymagane|hatalı|неверный|неверен"
    "|prompt|ask|text|int|integer|number|boolean|bool|hashed|encrypted|stdin|abgelaufen|caducado|caducada|expirado|expirada|vencido|vencida"
    "|obligatoire|inchangée?|oubliée?|modifiée?|vergessen|zurück(?:setzen|gesetzt)|ändern|geändert|unverändert|eingeben"
    "|anzeigen|wiederholen|bestätigen|erneuern|olvidada|cambiada|cambiar|esquecida|alterada|dimenticata|cambiata"
    "|vergeten|verplicht|wijzigen|gewijzigd|tymczasowe|jednorazowe|zapomniane|zmienione|nieprawidłowe|błędne"
    "|unuttum|zorunlu(?:dur)?|gerekli(?:dir)?|değiştir(?:in|ildi|me)?|sıfırla(?:ma|yın)?|yanlış|girin(?:iz)?|oluştur"
    "|povinné|zapomenuté|změnit|krävs|glömt|mangler|påkrævet|kötelező|obligatoriu|обязателен|забыли|изменён|изменен"
    "|expiré|scaduto|scaduta|verlopen|zu|trop|troppo|demasiado|muito|za|слишком"
    "|bearer|basic|your|all|rejected|accepted|too|please|blank|enabled|disabled|ok|unknown|set|provided|via)"
)
_ENDS = f"(?:[^{WORD}!@#$%^&*+~-]|[!@#$%^&*+~]+(?:$|[^0-9A-Za-z])|$)"
"""What ends a word that stands for a value, and does not make it a part of one: `ChangeMe!2024`."""
_SOURCE = (
    "(?:py|[jt]sx?|go|rs|rb|java|kt|cs|cc?|cpp|h|php|sh|ya?ml|json|toml|tf|env|cfg|ini|conf|xml|sql|md|log)"
)
STAND_IN = "|".join(
    (
        "=",
        "(?:[a-z]{1,6}[_-])?[Yy][Oo][Uu][Rr][_-][A-Za-z_-]*$|YOUR[_-][A-Z0-9_-]*$",  # your-key-here
        "\\[\\]",
        "<[0-9A-Za-z_ .-]+>",
        "(?:ConvertTo|Get|Read|New|Import|Select|Invoke)-[A-Z][A-Za-z]+$",  # commands of PowerShell
        "[$](?:[{(]|[0-9]$|[A-Za-z_]+(?:$|\\[|->))",  # ${NAME}, $1, $name
        "[*]{2}|[*&][A-Z][A-Za-z.]*$|#[{]|[(]{2}[a-z._-]+[)]{2}$|await(?: |$)",
        "\\[[A-Za-z_ -]+\\]",
        "[\\[{(]+(?:$|[\\\\\"'])",
        "\\{{1,2}[A-Za-z_. ]+\\}{1,2}(?:$|[^0-9A-Za-z])",
        "\\{\\{(?: |resolve:)",
        "\\([A-Za-zÀ-ÿĀ-ž ]+(?:\\)|$)",
        "[a-z]+(?:_[a-z0-9]+)*_password$",  # the name of a plugin, of a variable
        "%[(]|%s(?:$|[^0-9A-Za-z])",
        "%[A-Z_]+%",
        "(?:env|keyring|ssm):[A-Z][A-Z0-9_]*$|(?:file|vault|ssm):[0-9A-Za-z_.-]*/[0-9A-Za-z_./#-]*$",
        "@Microsoft[.]KeyVault",
        "(?:op|ref[+][a-z]+|vault|secret|file|env|keyring|ssm|awssm|gcpsm)://",
        "(?:invalid|incorrect|wrong|too|not|must|missing|required|expired|bad)_[a-z_]+$",  # what is wrong
        ":[a-z_]+$",  # a symbol
        "!(?:Ref|Sub|GetAtt|ImportValue|FindInMap|vault|secret|env|env_var|ref|reference|sub|unsafe)$",
        "[?]$|[?][^}]*\\}$",  # of ${NAME:?unset}
        "(?:(?:[0-9A-Za-z]{1,6}[_-]){0,3}[A-Za-z]{0,4}|[A-Za-z]+ing)(?:[.]{3}|…)$",  # sk-…, left out
        "[.][*]|[a-z_.]*(?:word|wd|pass|pw|token|secret|key|value)![rsa]$",  # of a pattern, of a format
        "\\{[A-Za-z_.]+(?:![rsa])?(?::[^{}]*)?\\}(?:$|[^0-9A-Za-z/+])",  # {value!r}, no {SSHA}…
        f"[0-9A-Za-z_./-]+[.]{_SOURCE}:[0-9]+$",  # a line of a file
        "(?:process[.]env|import[.]meta[.]env|os[.]environ|System[.]getenv)[.\\[(]",
        "(?:ENV|env)(?:[\\[(]|[.][A-Za-z_]+(?:$|[^0-9A-Za-z_!@#$%^&*+~-]))",
        f"{any_case('(?:change[_-]?me|replace[_-]?me)')}{_ENDS}",
        "(?:[A-Za-z0-9]{1,6}[_-]){0,3}[xX•●]{3,}$",
        "@?[.]{1,2}/|@[a-z_.-]+[.][a-z]{2,4}$|&(?:mut )?\\[?[a-z]",  # @pw.txt, &[u8]
        "[#*_.:…)}\\]>,;!?-]+$",
        f"{WORD_VALUES}{_ENDS}",
    )
)
"""What stands for a value: a placeholder, or a word such as `None` or `required`."""
CODE = (
    "(?:[A-Za-z_]+[?!]?[.])+[A-Za-z_]+(?:$|[(])|(?:[A-Za-z_.]|::)(?:[0-9A-Za-z_.]|::)*[(\\[]"
    "|[A-Za-z_.]*(?:[Pp]assword|[Pp]asswd|[Tt]oken|[Ss]ecret|[Kk]ey)[,):}]*$"
)
"""A name or a call in source code, as it stands unquoted."""
_VERBS = any_case(
    "(?:must|is|are|was|cannot|should|too|not|at least|has|have|does|required|invalid|incorrect|needs|may"
    "|field)"
)
PROSE = f".*[ ]{_VERBS}(?:[ ,.!]|$)"
"""A sentence about a value rather than a value."""

MIXED = "(?:[^0-9]*[0-9][^A-Za-z]*[A-Za-z]|[^A-Za-z]*[A-Za-z][^0-9]*[0-9])"
"""Letters and digits, as the beginning of a value."""
SIGNS = (
    "(?:[^0-9]*[0-9][^A-Za-z!@#$%^&*]*[A-Za-z!@#$%^&*]|[^A-Za-z!@#$%^&*]*[A-Za-z!@#$%^&*][^0-9]*[0-9]"
    "|[A-Za-z]+[!@#$%^&*]+[A-Za-z])"
)
"""Letters, digits and marks mixed, as in passwords and seldom in words."""

ODD = "[A-Za-z]*(?:[A-Z]{2}[a-z][A-Z]|[A-Z][a-z][A-Z]{2})"
"""Letters alone in an order that words and names in code do not have."""

VALUE_WORD = "(?:[Vv]alue|default|text|content)\\\\{0,7}[\"']?[ \t]*(?:[:=][ \t]*\\\\{0,7}[\"']|: )"
"""Where a list of names and values, or a declaration, has the value."""

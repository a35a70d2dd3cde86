"""Codes: one-time codes, codes of cards.

What goes here: digits that a word names as a code. What does not: codes for recovery and seeds, which are
keys (`sessions.py`).
"""

from fl_assets.events.redaction.blocks import ASSIGN, QUOTE, SEP
from fl_assets.events.redaction.rule import Rule, Unless, any_case

_DIGITS = "(?:[0-9]{3}[ -][0-9]{3}|[0-9]{4,8})"
_SHORT_CODES = any_case(
    "(?:cvv2?|cvc2?|cvn|otp|(?:verification|one-time|2fa|mfa|card security|login|sign-in|security|access"
    "|confirmation|authentication) code|pin code|bestätigungscode|sicherheitscode|einmalcode|verificatiecode"
    "|inlogcode|toegangscode|bekræftelseskode"
    "|verifieringskod|engångskod|engangskod|pin-code|kod (?:autoryzacyjny|dostępu|sms|jednorazowy)"
    "|engangskode|vahvistuskoodi|ověřovací kód"
    "|(?:code|código|codice|kod) (?:de|di) (?:vérification|sécurité|verificación|seguridad|acceso|verificação"
    "|verifica|sicurezza)|kod weryfikacyjny|doğrulama kodu|код подтверждения|код для входа)"
)
_CODE_KINDS = any_case(
    "(?:verification|one[- ]time|security|login|sign-in|access|confirmation|authentication|2fa|mfa|two-factor"
    "|google|microsoft|amazon|whatsapp|telegram|apple id|steam|paypal|bank|bestätigungs|sicherheits|einmal)"
)
_CODE_OF = f"{any_case('(?:code|código|codice)')} (?:de|di) (?:[a-zéèóã]{{5,14}})"
_CARD_CODE = any_case(
    "(?:kartenprüf(?:nummer|ziffer)|prüf(?:nummer|ziffer)|(?:cvv|cvc)-code|cryptogramme(?: visuel)?"
    "|card (?:security|verification) (?:code|value|number)"
    "|código de seguridad|codice di sicurezza|código de segurança|güvenlik kodu)"
)
_ON_CARD = any_case(
    "(?: (?:on|of|de|der|auf|della|da|do|van) (?:the |my |la |el |der |meiner |mijn |il )?(?:back of )?"
    "(?:card|karte|tarjeta|carte|carta|cartão|kaart|back|front))"
)
_IS = "(?: is| lautet| ist| est| es| è| é)?[ :=]{1,3}"
_VALID = any_case(
    "(?:exp(?:ires?|iry|iration|[.])?|valid(?: thru| until| to| till)?"
    "|thru|gültig bis|vence|validade|scad(?:e|enza))"
)


RULES = (
    Rule(  # codes of cards and telephones, once they are named
        "PASSWORD",
        f"((?:^|[^A-Za-z])(?:{_SHORT_CODES}|PIN|TAN)(?:{ASSIGN}{QUOTE}?|[^0-9A-Za-z\r\n{SEP}]{{0,2}}[ ]"
        f"(?:[A-Za-zèäé]{{1,10}} ){{0,4}}))({_DIGITS}|[0-9]{{3}})([0-9A-Za-z.,]?[0-9A-Za-z]?)",
        examples=(
            "exp 09/28 cvv ‹737›",
            '"cvc":"‹123›"',
            "your OTP is ‹482913›",
            "Il PIN della SIM è ‹4821›",
            "Je verificatiecode is ‹966 743›",
            "OTP hai ‹482-716›, jaldi",
            "Din engångskod är ‹718 204›",
            "kod autoryzacyjny ‹718 204›",
        ),
        stays=("PIN 13 of the header", "pin 4 is high"),
        unless=(
            Unless(before="(?:PIN|TAN|[Oo][Tt][Pp]|[Cc][Oo][Dd][Ee]).*", value="[0-9]{1,3}$"),
            Unless(after="[0-9A-Za-z]|[.,][0-9A-Za-z]"),
            Unless(before=".* to "),
        ),
        apart=True,
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^0-9A-Za-z.,-])(?:G-)?)({_DIGITS})"
        f"( (?:is|ist|est|es|é|è) (?:[Yy]our|the|[Ii]hr|[Dd]ein|votre|ton|tu|su|seu|il tuo) "
        f"(?:[A-Za-z]{{2,12}} ){{0,2}}?"
        f"(?:{_CODE_KINDS}(?: [a-z]{{2,14}}){{0,2}}[ -]?(?:[Cc]ode|[Oo][Tt][Pp]|PIN|[Pp]asscode)"
        f"|{_CODE_OF}))",
        examples=(
            "‹097-708› is your one-time passcode for x",
            "‹482 716› est votre code de connexion",
            "G-‹482913› is your Google verification code.",
            "‹4829› ist Ihr Bestätigungscode",
        ),
        stays=("404 is your status code", "2026 is the country code"),
    ),
    Rule(
        "PASSWORD",
        "((?:验证码|驗證碼|校验码|认证码|动态码|動態碼"
        "|認証コード|確認コード|인증번호|인증 코드|رمز التحقق|קוד אימות|ओटीपी)"
        "[^0-9\r\n<]{0,8})([0-9]{3}[ -][0-9]{3}|[0-9]{4,8})([^0-9]|$)",
        examples=("您的验证码是‹482913›，请勿泄露", "認証コード：‹482913›"),
    ),
    Rule(  # three digits that a card is named with
        "PASSWORD",
        f"((?:^|[^A-Za-z])(?:{_CARD_CODE}{_ON_CARD}?"
        f"|{any_case('(?:security|verification) code')}{_ON_CARD}){_IS}"
        f"|{_VALID} ?[01][0-9] ?[/-] ?[0-9]{{2,4}}[ ,;]{{1,3}}(?:and |und |y |et )?[Cc]ode:? )"
        "([0-9]{3,4})([^0-9A-Za-z]|$)",
        examples=(
            "Kartenprüfnummer ‹765›",
            "the security code on my card is ‹417›",
            "valid thru 09/27 code ‹417›",
            "please, expires 12/28 code ‹050›",
            "código de seguridad de la tarjeta ‹417›",
            "CVV-Code ‹382›",
            "Prüfnummer der Karte: ‹382›",
            "security code on the back is ‹382›",
        ),
        stays=("verification code 404", "on 09/27: code 417, refused"),
        unless=(Unless(after="[.,][0-9]"),),
    ),
    Rule(
        "PASSWORD",
        f"((?:^|[^A-Za-z]){any_case('security code')} )([0-9]{{3,4}})( on the (?:back|front)(?:[^A-Za-z]|$))",
        examples=("security code ‹450› on the back of it",),
    ),
)

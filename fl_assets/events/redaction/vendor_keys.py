"""Keys and tokens that are known by their own form: one line per format.

A new vendor is one line here and nothing elsewhere. A line is: vendor | pattern | example. The pattern is
RE2's. In an example `~N` stands for N letters and digits, `#N` for N hexadecimal digits, `0N` after a `^` for
N decimal ones (`^012`), `$N` for N capitals and digits: no scanner takes this file for a leak. Sources: the
vendors' own documentation, and keys as they are seen in the wild.
"""

import re
from dataclasses import dataclass

_BEGIN_WITH_A_NAME = """
AWS access key | A(?:KIA|SIA|ROA|IDA|GPA|NPA|NVA|IPA|BIA|CCA)[0-9A-Z]{16} | AKIA$16
AWS Bedrock | bedrock-api-key-… | bedrock-api-key-~40
AWS Bedrock | ABSK[0-9A-Za-z+/=]{20,} | ABSK~40
Google API key | AIza… | AIza~35
Google API key | AQ[.]Ab8… | AQ.Ab8~40
Google OAuth | (?:ya29[.]|1//0|GOCSPX-)… | ya29.~60
GitHub | (?:gh[pousr]_|github_pat_|GR1348941)… | ghp_~36
GitLab | gl(?:pat|dt|rt|rtr|cbt|ptt|ft|ffct|soat|agent|imt|oas|wt)-[0-9A-Za-z_.-]{16,} | glpat-~20
OpenAI and alike | sk-(?:ant|proj|svcacct|admin|or|lf|live|test|None|helicone)-… | sk-ant-~40
OpenAI, DeepSeek | sk-[0-9A-Za-z]{20,} | sk-~32
OpenAI session | sess-… | sess-~40
Hugging Face | (?:hf_|api_org_)… | hf_~34
Langfuse | sk-lf-… | sk-lf-#8-#4-#4-#4-#12
PyPI | pypi-… | pypi-AgE~60
Docker | dckr_(?:pat|oat)_?… | dckr_pat_~27
Docker, a whole configuration | eyJhdXRocyI6… | eyJhdXRocyI6~40
Square | sq0[a-z]{3}-… | sq0csp-~43
Square | sq[upa]_… | squ_~40
Vault | hv[sbr][.]… | hvs.~40
1Password | ops_eyJ… | ops_eyJ~60
1Password | A3-[0-9A-Z]{6}-[0-9A-Z-]{20,} | A3-$6-$6-$5-$5-$5
Dropbox | sl[.](?:B|u[.])… | sl.B~60
OpenShift | sha256~… | sha256\\~~43
Yandex | (?:t1[.]9eu|AQVN|YCAJE)… | t1.9eu~40
Atlassian | (?:AT[ACS]TT3|ATBB)… | ATATT3~60
X, Twitter | AAAAAAAAAAAAAAAAAAAAA[0-9A-Za-z%]{60,} | AAAAAAAAAAAAAAAAAAAAA~70
Facebook, Instagram | (?:EAA[A-Z]|IGQVJ|IGAA)… | EAAB~60
Tencent | AKID… | AKID~32
Artifactory | (?:AKCp|cmVmdGtu)… | AKCp~60
Stripe, Clerk, Razorpay | (?:[srp]k|whsec|rzp)_(?:live|test|prod)_[0-9A-Za-z]{10,} | sk_live_~24
Squarespace, Line | (?:sm_[ap]at|lip)_[0-9A-Za-z]{10,} | lip_~20
Stripe | sk_(?:live|prod)_… | sk_prod_~24
Stripe webhook | whsec_[0-9A-Za-z+/=]{20,} | whsec_~32
EasyPost | EZ[AT]K… | EZAK~54
npm | npm_… | npm_~36
Linear | lin_(?:api|oauth)_… | lin_api_~40
Notion | (?:ntn|secret)_… | ntn_~46
LangSmith | lsv2_(?:pt|sk)_… | lsv2_pt_#32_#10
Pinecone | pcsk_… | pcsk_~70
Groq | gsk_… | gsk_~52
Grafana | gl(?:sa|c)_… | glsa_~32_#8
Sentry | sntry[sui]_… | sntrys_~60
Supabase | (?:sbp|sb_secret)_… | sbp_#40
Figma | figd_… | figd_~40
Fly.io | fo1_… | fo1_~43
Fly.io | fm2_[0-9A-Za-z+/=_-]{20,} | fm2_lJPE~90==
Netlify | nfp_… | nfp_~36
PlanetScale | pscale_(?:tkn|pw|oauth)_… | pscale_tkn_~43
RubyGems | rubygems_… | rubygems_#48
ReadMe | rdme_… | rdme_~70
Buildkite | bk[uac]a_… | bkua_#40
CircleCI | CCIP(?:AT|RJ)_… | CCIPAT_~22_#40
Open VSX | ovsxp_… | ovsxp_#8-#4-#4-#4-#12
Postmark, Prefect | pnu_… | pnu_~36
Typeform | tfp_… | tfp_~44
Adafruit | aio_… | aio_~28
Fireworks | fw_… | fw_~24
Replicate | r8_… | r8_~37
PostHog | ph[csx]_… | phx_~43
Brevo | xkeysib[_-]… | xkeysib-#64-~16
Shippo | shippo_(?:live|test)_… | shippo_live_#40
Vercel | (?:vcp|vck|vercel_blob_rw)_… | vcp_~56
E2B | e2b_… | e2b_#40
Jina | jina_… | jina_~60
Weights & Biases | wandb_v1_… | wandb_v1_~77
Together | tgp_v1_… | tgp_v1_~43
LaunchDarkly, LangSmith | ls__… | ls__#32
Apify | apify_api_… | apify_api_~36
Browserbase | bb_live_… | bb_live_~27
Datadog, Deepnote | dtn_… | dtn_~40
Neon | napi_… | napi_~64
Cloudflare | cf(?:[au]t|k)_… | cfut_~40
Sourcegraph | sgp_… | sgp_#16_#40
Duffel | duffel_(?:test|live)_… | duffel_test_~43
Clojars | CLOJARS_… | CLOJARS_#60
Render | rnd_… | rnd_~32
Zuplo | zpka_… | zpka_#32_#8
MongoDB Atlas | mdb_sa_sk_… | mdb_sa_sk_~40
Tencent | tsec_… | tsec_~40
Google reCAPTCHA and alike | secret-token-… | secret-token-~40
Flutterwave | FLWSECK(?:_TEST)?-… | FLWSECK_TEST-#32-X
Plaid | access-(?:sandbox|production|development)-… | access-sandbox-#8-#4-#4-#4-#12
Nuclei, Nightfall | nk-… | nk-~32
Pulse, Particle | p8e-… | p8e-~32
Frame.io | fio-u-… | fio-u-~64
Mux, Telnyx | tk-us-… | tk-us-~48
Sinch | s-s4t2(?:ud|af)-… | s-s4t2ud-#64
Perplexity | pplx-… | pplx-~48
xAI | xai-… | xai-~80
Tavily | tvly-… | tvly-~32
NVIDIA | nvapi-… | nvapi-~64
Cerebras | csk-… | csk-~48
New Relic | NR(?:AK|II)-… | NRAK-$27
New Relic browser | NRJS-[0-9a-f]{19} | NRJS-#19
Postman | PMAK-… | PMAK-#24-#34
Pulumi | pul-… | pul-#40
Contentful | CFPAT-… | CFPAT-~43
Tailscale | tskey-… | tskey-auth-~16-~32
Heroku | HRKU-… | HRKU-AA~58
HubSpot | pat-(?:na|eu|ap)[0-9]-… | pat-na1-#8-#4-#4-#4-#12
Lob, Prodigy | prod-sec-… | prod-sec-~32
Alibaba | LTAI[0-9A-Za-z]{12,} | LTAI~20
Amazon MWS, Login | amzn[0-9]?[.](?:mws|oa2-cs[.]v1|application-oa2-client)[.][0-9a-f-]{32,} | amzn.mws.#36
Slack | (?:xoxe[.])?xox[a-z]-[0-9A-Za-z.-]{10,} | xoxb-^012-^012-~24
Slack app | xapp-[0-9]-[0-9A-Za-z-]{10,} | xapp-1-$11-^013-#64
ElevenLabs | sk_[0-9a-f]{40,} | sk_#48
Mollie | live_[0-9A-Za-z]{30,} | live_~30
SendGrid | SG[.][0-9A-Za-z_-]{16,}[.][0-9A-Za-z_-]{16,} | SG.~22.~43
Twilio, Mailgun | (?:SK|AC|key-)[0-9a-f]{32} | SK#32
DigitalOcean | do[opr]_v1_[0-9a-f]{20,} | dop_v1_#64
Shopify | shp[a-z]{2,3}_[0-9A-Fa-f]{32} | shpat_#32
Databricks | do?(?:api|se)[0-9a-f]{32}(?:-[0-9])? | dapi#32
Doppler | dp[.](?:pt|st|ct|scim|audit)[.][0-9A-Za-z._-]{20,} | dp.pt.~43
Harness | (?:pat|sat)[.][0-9A-Za-z_-]+[.][0-9a-f]+[.][0-9A-Za-z]{20,} | pat.~22.#24.~20
Braintree | access_token[$]production[$][0-9a-z]+[$][0-9a-f]{20,} | access_token$production\\$#16\\$#32
Octopus | API-[0-9A-Z]{26,} | API-$28
Customer.io, Okta and alike | (?:cio|oy2|fc-|ico-)[0-9A-Za-z]{32,} | fc-#32
Resend | re_[0-9A-Za-z]{8}_[0-9A-Za-z]{24} | re_~8_~24
Voyage | pa-[0-9A-Za-z_-]{40,} | pa-~43
age | AGE-SECRET-KEY-1[0-9A-Z]{20,} | AGE-SECRET-KEY-1$58
Dynatrace | dt0[a-z][0-9]{2}[.][0-9A-Z]{8,24}[.][0-9A-Z]{20,} | dt0c01.$24.$64
Slack | hooks[.]slack[.]com/(?:services|workflows|triggers)/[0-9A-Za-z_/-]{20,} | hooks.slack.com/services/~24
Discord webhook | discord(?:app)?[.]com/api/webhooks/[0-9]{15,20}/… | discord.com/api/webhooks/^018/~60
Honeycomb | hc[a-z]{1,2}[im]k_[0-9a-z]{40,} | hcaik_01#58
Cursor | (?:crsr|key)_[0-9a-f]{40,} | crsr_#64
Mem0 | m0-[0-9A-Za-z]{32,} | m0-~40
Dify | (?:app|dataset)-[0-9A-Za-z]{24} | app-~24
Modal | (?:ak|as|wk|ws)-[0-9A-Za-z]{22} | ak-~22
RunPod | rpa_[0-9A-Z]{30,} | rpa_$44
Braintrust | bt-st-[0-9A-Za-z]{30,} | bt-st-~43
Pydantic Logfire | pylf_v[0-9]_[a-z]{2,8}_[0-9A-Za-z]{30,} | pylf_v1_us_~44
Polar | polar_[a-z]{2,4}_[0-9A-Za-z]{30,} | polar_oat_~43
Stytch | secret-(?:live|test)-… | secret-live-~36
Statsig | secret-[0-9A-Za-z]{40,} | secret-~44
Axiom, Ark | (?:xa[ap]t|ark|ctx7sk)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12} | xaat-#8-#4-#4-#4-#12
LaunchDarkly | (?:sdk|api|mob)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12} | sdk-#8-#4-#4-#4-#12
Scaleway | SCW[0-9A-Z]{17} | SCW$17
Infisical | st[.][0-9a-f-]{24,36}(?:[.][0-9a-f]{32}){2} | st.#24.#32.#32
ClickUp | pk_[0-9]{5,12}_[0-9A-Z]{32} | pk_^08_$32
Klaviyo | pk_[0-9a-f]{34} | pk_#34
PagerDuty | pd[a-z]{2}[+]_[0-9A-Za-z_+-]{20,} | pdus+_~32
TikTok | act[.][0-9A-Za-z!.]{40,} | act.~60
Adyen | AQE[a-z][0-9A-Za-z+/=]{60,} | AQEy~80
Salesforce | 00D[0-9A-Za-z]{12,15}![0-9A-Za-z._]{60,} | 00D~12!~96
Make | hook[.](?:eu|us)[0-9][.]make[.]com/[0-9a-z]{20,} | hook.eu1.make.com/#32
Zapier | zapier[.]com/hooks/catch/[0-9]{4,10}/[0-9a-z]{5,} | zapier.com/hooks/catch/^08/#7
Feishu, Lark | open-apis/bot/v2/hook/[0-9a-f-]{32,} | open-apis/bot/v2/hook/#36
Teams | webhook[.]office[.]com/webhookb2/[0-9A-Za-z@/-]{60,} | webhook.office.com/webhookb2/#60
Outlook webhook | outlook[.]office(?:365)?[.]com/webhook/[0-9A-Za-z@/-]{60,} | outlook.office.com/webhook/#60
Linode, Akamai | akab-[0-9a-z]{16}-[0-9a-z]{16} | akab-#16-#16
Frigg, Trigger.dev | tr_(?:dev|prod|stg|preview)_[0-9A-Za-z]{16,} | tr_prod_~24
Langsmith, LangChain hub | ls_[0-9a-f]{32} | ls_#32
Anyscale, Together | esecret_[0-9a-z]{20,} | esecret_#30
Inngest | signkey-(?:prod|test|branch)-[0-9a-f]{32,} | signkey-prod-#64
Svix, Clerk webhook | (?:testsk|sk)_[0-9A-Za-z]{24,}[.](?:eu|us|ca|au|in) | testsk_~32.eu
Hetzner, Coolify | coolify_[0-9A-Za-z]{20,} | coolify_~40
ASP.NET session | CfDJ8[0-9A-Za-z_-]{40,} | CfDJ8~90
Jenkins | 11[0-9a-f]{32} | 11#32
k3s | K10[0-9a-f]{64}::(?:[a-z]{1,12}:)?[0-9a-f]{32} | K10#64::server:#32
EKS | k8s-aws-v1[.]… | k8s-aws-v1.~80
Hyperbrowser | hb_[0-9a-f]{40} | hb_#40
Pushover | user=u[0-9a-z]{29} | user=u#29
Healthchecks | hc-ping[.]com/[0-9A-Za-z-]{20,} | hc-ping.com/#8-#4-#4-#4-#12
IFTTT | ifttt[.]com/trigger/[^/ ]{1,60}/(?:json/)?with/key/… | ifttt.com/trigger/x/with/key/~22
PagerDuty | events[.](?:eu[.])?pagerduty[.]com/[a-z-]{4,12}/… | events.pagerduty.com/integration/#32
VictorOps | victorops[.]com/integrations/[^ ]{1,60}/alert/… | victorops.com/integrations/x/alert/#36
Better Stack | betterstack[.]com/api/v1/[a-z-]{9,20}/… | betterstack.com/api/v1/heartbeat/~24
UptimeRobot | heartbeat[.]uptimerobot[.]com/m?[0-9]{6,}-[0-9a-f]{30,} | heartbeat.uptimerobot.com/m^09-#40
Cronitor | cronitor[.]link/p/[0-9a-f]{20,} | cronitor.link/p/#32
Dead Man's Snitch | nosnch[.]in/[0-9a-f]{10} | nosnch.in/#10
WeCom | weixin[.]qq[.]com/cgi-bin/webhook/send[?]key=… | weixin.qq.com/cgi-bin/webhook/send?key=#36
Google Chat | chat[.]googleapis[.]com/v1/[^ ?]{1,60}[?]key=… | chat.googleapis.com/v1/A/messages?key=~39
Webex | webexapis[.]com/v1/webhooks/incoming/… | webexapis.com/v1/webhooks/incoming/~76
Netlify | api[.]netlify[.]com/build_hooks/[0-9a-f]{20,} | api.netlify.com/build_hooks/#24
Vercel | vercel[.]com/v1/integrations/deploy/prj_[0-9A-Za-z/]{20,} | vercel.com/v1/integrations/deploy/prj_~28
Render | render[.]com/deploy/srv-[0-9a-z]{10,}[?]key=[0-9A-Za-z_-]{8,} | render.com/deploy/srv-#20?key=~11
Integromat | hook[.]integromat[.]com/[0-9a-z]{20,} | hook.integromat.com/#32
Infura | infura[.]io/v3/[0-9a-f]{32} | infura.io/v3/#32
Alchemy | alchemy(?:api)?[.](?:com|io)/v2/… | alchemy.com/v2/~32
Google Calendar | calendar/ical/[^ /]{1,80}/private-[0-9a-f]{32} | calendar/ical/a%40b.io/private-#32
Atlassian automation | automation[.]atlassian[.]com/pro/hooks/… | automation.atlassian.com/pro/hooks/#40
Snyk | snyk_[a-z]{2,4}[.][0-9a-f]{6,12}[.][0-9A-Za-z_.-]{30,} | snyk_uat.#8.~60
"""

_BEGIN_WITH_THE_KEY = """
Mailchimp | [0-9a-f]{32}-us[0-9]{1,2} | #32-us12
Telegram | (?:bot)?[0-9]{8,10}:AA[0-9A-Za-z_-]{32,} | ^010:AA~33
Discord | [MNO][0-9A-Za-z_-]{23,25}[.][0-9A-Za-z_-]{6}[.][0-9A-Za-z_-]{27,} | M~23.~6.~38
Azure AD | [0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,} | bjj8Q\\~~34
Airtable | pat[0-9A-Za-z]{14}[.][0-9a-f]{64} | pat~14.#64
Asana | [0-9]/[0-9]+(?:/[0-9]+)?:[0-9a-f]{32} | 2/^016/^016:#32
Firebase | [0-9A-Za-z_-]{11}:APA91b[0-9A-Za-z_-]{20,} | ~11:APA91b~40
New Relic | [0-9a-f]+xx[0-9a-f]+NRAL | #36xx#4NRAL
Terraform Cloud | [0-9A-Za-z]{14}[.]atlasv1[.]… | ~14.atlasv1.~60
Azure | [0-9A-Za-z]{52}JQQJ99[0-9A-Za-z]{8,} | ~52JQQJ99~26
Azure Functions | [0-9A-Za-z_-]{40,46}AzFu[0-9A-Za-z_=-]{6,} | ~44AzFu~8==
Azure storage, registry | [0-9A-Za-z+/]{40,80}[+](?:ASt|ABa|ACR|AMC|ARm|AIoT)[0-9A-Za-z+/=]{6,} | ~42+ACR~6
Mailgun | [0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8} | #32-#8-#8
Bitwarden | 0[.][0-9a-f-]{36}[.][0-9A-Za-z]{30}:[0-9A-Za-z+/=]{24} | 0.#36.~30:~24
Unleash | [0-9a-z*-]{1,40}:(?:development|production)[.][0-9a-f]{40,} | default:production.#56
Zhipu | [0-9a-f]{32}[.][0-9A-Za-z]{16} | #32.~16
"""


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """A line of the table."""

    vendor: str
    find: str
    example: str


_TWENTY = "[0-9A-Za-z_=-]{20,}"
_ALPHABETS = {
    "~": "a7Kq2Zx9Lm4Tf8Wd1Rb6Yc3Vn5Hs0Jg",
    "#": "4f9a1c7e0b3d8625",
    "^0": "7319402865",
    "$": "Q7ZK2XW9M4TF8RB6YC3V",
}


def _expanded(example: str) -> str:
    """Return an example with its shorthand written out."""

    def written(match: re.Match[str]) -> str:
        mark, count = match[1], int(match[2])
        alphabet = _ALPHABETS[mark]
        return (alphabet * (count // len(alphabet) + 1))[:count]

    parts = re.split(r"\\(.)", example)  # an escaped sign stands for itself
    return "".join(
        part if place % 2 else re.sub("(~|#|[\\^]0|[$])([0-9]+)", written, part)
        for place, part in enumerate(parts)
    )


def _read(table: str) -> tuple[KeyFormat, ...]:
    rows = (re.split(" +[|] ", line) for line in table.strip().splitlines())
    return tuple(
        KeyFormat(vendor, find.replace("…", _TWENTY), _expanded(example)) for vendor, find, example in rows
    )


NAMED_KEYS = _read(_BEGIN_WITH_A_NAME)
INNER_KEYS = _read(_BEGIN_WITH_THE_KEY)
KEY_FORMATS = NAMED_KEYS + INNER_KEYS

"""What `baton serve` prints once it is ready: the address, the admin key and three example requests."""

from app.settings import PROGRAM, Settings


def greeting(settings: Settings, secret: str | None) -> str:
    """The text for the terminal; `secret` is a newly created admin key, which is shown only here."""
    if secret is not None:
        key = f"Admin key (shown only once): {secret}"
    elif settings.admin_key is not None:
        key = "Admin key: the one in BATON_ADMIN_KEY"
    else:
        key = f"Admin key: the one printed at the first start (if it is lost: {PROGRAM} keys create)"
    curl = 'curl -s -H "Authorization: Bearer $KEY"'
    post = f"{curl} -H 'Content-Type: application/json' -d"
    return f"""\
Baton is at {settings.address} (documentation: {settings.address}/docs)

{key}

Next, in another terminal:
  export BATON={settings.address} KEY={secret or "your-admin-key"}
  # 1. Show the tenant and scopes of the key
  {curl} $BATON/v1/me
  # 2. Create a source for a form
  {post} '{{"name":"My form","preset":"generic"}}' $BATON/v1/sources
  # 3. Create a lead
  {post} '{{"fields":{{"email":"ada@example.com","company":"Example"}}}}' $BATON/v1/leads

Stop with Ctrl-C. To diagnose problems: {PROGRAM} doctor"""

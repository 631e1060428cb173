"""What `baton serve` says once it is ready: the address, the key where it is new, and three next steps that work."""

from app.settings import Settings


def greeting(settings: Settings, secret: str | None) -> str:
    """The lines for the terminal. secret: the admin key that was just made; it is shown this once only."""
    if secret is not None:
        key = f"Admin key, shown only now: {secret}"
    elif settings.admin_key is not None:
        key = "Admin key: the one in BATON_ADMIN_KEY"
    else:
        key = "Admin key: the one shown at the first start (lost? python3 -m app keys create)"
    curl = 'curl -s -H "Authorization: Bearer $KEY"'
    post = f"{curl} -H 'Content-Type: application/json' -d"
    return f"""\
Baton is at {settings.address} (documentation: {settings.address}/docs)

{key}

Next, in another terminal:
  export BATON={settings.address} KEY={secret or "your-admin-key"}
  # 1. Who am I?
  {curl} $BATON/v1/me
  # 2. A door for a form
  {post} '{{"name":"My form","preset":"generic"}}' $BATON/v1/sources
  # 3. A first lead
  {post} '{{"fields":{{"email":"ada@example.com","company":"Example"}}}}' $BATON/v1/leads

Stop with Ctrl-C. What is wrong? python3 -m app doctor"""

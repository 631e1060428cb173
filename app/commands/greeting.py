"""What `baton serve` prints once it is ready: the address, the admin key and three example requests."""

from app.settings import PROGRAM, Settings


def greeting(settings: Settings, secret: str | None, login: str | None = None) -> str:
    """The text for the terminal; `secret` is a newly created admin key, `login` the token of a link to the console.

    Both are shown only here.
    """
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
{_console(settings, login)}
Next, in another terminal:
  export BATON={settings.address} KEY={secret or "your-admin-key"}
  # 1. Show the tenant and scopes of the key
  {curl} $BATON/v1/me
  # 2. Create a source for a form
  {post} '{{"name":"My form","preset":"generic"}}' $BATON/v1/sources
  # 3. Create a lead
  {post} '{{"fields":{{"email":"ada@example.com","company":"Example"}}}}' $BATON/v1/leads

Stop with Ctrl-C. To diagnose problems: {PROGRAM} doctor"""


def _console(settings: Settings, login: str | None) -> str:
    if not settings.console:
        return ""
    page = f"{settings.address}/console"
    if login is None:
        return f"Console, with pages to look at: {page}\n"
    return f"Console, with pages to look at (this link logs in once, within an hour):\n{page}/session?link={login}\n"

"""What `baton serve` says once it is ready: the address, the key where it is new, and three next steps that work."""

from app.settings import Settings


def greeting(settings: Settings, secret: str | None) -> str:
    """The lines for the terminal. secret: the admin key that was just made; it is shown this once only."""
    lines = [f"Baton is at {settings.address} (documentation: {settings.address}/docs)", ""]
    if secret is not None:
        lines += [f"Admin key, shown only now: {secret}", ""]
    elif settings.admin_key is not None:
        lines += ["Admin key: the one in BATON_ADMIN_KEY", ""]
    else:
        lines += ["Admin key: the one shown at the first start (lost? python3 -m app keys create)", ""]
    export = f"export BATON={settings.address} KEY={secret or 'your-admin-key'}"
    json = "-H 'Content-Type: application/json'"
    steps = (
        ("Who am I?", 'curl -s -H "Authorization: Bearer $KEY" $BATON/v1/me'),
        (
            "A door for a form",
            f'curl -s -H "Authorization: Bearer $KEY" {json} -d \'{{"name":"My form","preset":"generic"}}\' '
            "$BATON/v1/sources",
        ),
        (
            "A first lead",
            f'curl -s -H "Authorization: Bearer $KEY" {json} '
            '-d \'{"fields":{"email":"ada@example.com","company":"Example"}}\' $BATON/v1/leads',
        ),
    )
    lines += ["Next, in another terminal:", f"  {export}"]
    for number, (what, command) in enumerate(steps, 1):
        lines += [f"  # {number}. {what}", f"  {command}"]
    return "\n".join([*lines, "", "Stop with Ctrl-C. What is wrong? python3 -m app doctor"])

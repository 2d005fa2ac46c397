"""Django's settings, from the environment that `kinefit.web.server` sets.

KINEFIT_WEB_FOLDER: where uploads, results and the embedded database lie. KINEFIT_WEB_HOSTS: names
under which the site may be asked for, with commas. KINEFIT_WEB_ACCOUNTS: "1" where people must log
in. KINEFIT_WEB_TLS: "1" behind a proxy that speaks TLS and says so (X-Forwarded-Proto).
DATABASE_URL: another database, e.g. postgres://user@host/name.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import dj_database_url

from kinefit.io.atomic import atomic_path

FOLDER = Path(os.environ.get("KINEFIT_WEB_FOLDER", "kinefit_web")).resolve()
ACCOUNTS = os.environ.get("KINEFIT_WEB_ACCOUNTS") == "1"
TLS = os.environ.get("KINEFIT_WEB_TLS") == "1"


def _secret() -> str:
    """A key of this folder's own, made once and readable by its owner only; without a site (for a
    type checker, say) any.
    """
    if "KINEFIT_WEB_FOLDER" not in os.environ:
        return secrets.token_urlsafe(50)
    path = FOLDER / "secret"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = _secret()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("KINEFIT_WEB_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
ROOT_URLCONF = "kinefit.web.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "kinefit.web",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "kinefit.web.middleware.who",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "kinefit.web.middleware.content_policy",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "kinefit.web.middleware.site",
            ]
        },
    }
]
DATABASES = {"default": dj_database_url.config(default=f"sqlite:///{FOLDER / 'kinefit.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Readers and the writer do not wait for one another; a writer waits for another one.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "projects"
LOGOUT_REDIRECT_URL = "login"
STATIC_URL = "/static/"
USE_TZ = True
TIME_ZONE = "UTC"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = TLS
if TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if host != "*"]
CACHES = {  # of the limits; the least used are thrown out beyond so many
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
X_FRAME_OPTIONS = "SAMEORIGIN"  # a result is shown inside the page of its trial
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # of forms; videos come in parts of their own
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

# ---- kinefit's own ----
MOST_UPLOAD_BYTES = int(os.environ.get("KINEFIT_WEB_MOST_BYTES", 8 * 2**30))  # of one file
PART_BYTES = 8 * 2**20  # of one request
LEASE_S = 15.0  # a worker that says nothing for so long is dead
TRIES = 3  # of a job whose process dies

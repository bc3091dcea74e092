"""Hosts are named and agreed to before anything is fetched from them: as in `geo_model.hosts`."""

from geo_model.hosts import confirm_host, host_of

__all__ = ["confirm_host", "host_of"]

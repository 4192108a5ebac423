"""The commands of `fedmpt bank`, grouped by purpose."""

"""The package on a Debian 12 that was really booted: systemd-nspawn on a debootstrap folder, driven through systemctl."""

"""The commands of `fedmpt bank`, in files of related ones."""

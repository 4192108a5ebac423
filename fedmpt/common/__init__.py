"""What every package needs: errors, files, tables, words, progress, the console. It imports nothing of ours."""

# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for samepaged(8). Needs nothing but bash.

_samepaged()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	COMPREPLY=()

	if [[ $cur == '=' ]]; then
		cur=
	elif [[ $prev == '=' ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $prev in
	-c | --config)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W '-c --config --check-config --sample-config --help --version' -- "$cur")
} &&
	complete -F _samepaged samepaged

# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for samepage(1). Needs nothing but bash.

_samepage()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} words=
	COMPREPLY=()

	# --option=value arrives as three words.
	if [[ $cur == '=' ]]; then
		cur=
	elif [[ $prev == '=' ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi

	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'guests scan tune history watch resume reclaim --help --version' -- "$cur")
		return
	fi

	case $prev in
	--qmp | --control | --file)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--runtime-dir | --ksm-dir)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--mode)
		mapfile -t COMPREPLY < <(compgen -W 'snapshot sliced live' -- "$cur")
		return
		;;
	--use-zero-pages | --smart-scan)
		mapfile -t COMPREPLY < <(compgen -W 'keep no yes' -- "$cur")
		return
		;;
	--libvirt)
		mapfile -t COMPREPLY < <(compgen -W 'qemu:///system qemu:///session' -- "$cur")
		return
		;;
	--guest | --group | --only-group | --ksm-cpu | --include | --exclude | --max-pause | --recheck | --threads | --cpus | --timeout | --since | --until | --limit | --id | --interval)
		return
		;;
	esac

	case $command in
	guests) words='--qmp --libvirt --libvirt-monitor --guest --include --exclude --threads --careful --json --events --timeout --runtime-dir --ksm-dir --control --help' ;;
	scan)
		words='--qmp --libvirt --libvirt-monitor --guest --include --exclude --mode --max-pause --together --recheck --threads --cpus --careful --forecast --group --cross-group --only-group --ksm-cpu --use-zero-pages --smart-scan --json --events --timeout --runtime-dir --ksm-dir --control --help'
		;;
	tune)
		words='--qmp --libvirt --libvirt-monitor --guest --include --exclude --mode --max-pause --together --threads --cpus --careful --dry-run --undo --group --cross-group --only-group --ksm-cpu --use-zero-pages --smart-scan --json --events --timeout --runtime-dir --ksm-dir --control --help'
		;;
	history) words='--guest --json --events --since --until --limit --id --file --control --help' ;;
	watch) words='--interval --control --help' ;;
	resume) words='--stale --json --events --runtime-dir --ksm-dir --help' ;;
	reclaim)
		words='--qmp --libvirt --libvirt-monitor --guest --include --exclude --max-pause --apply --json --events --timeout --runtime-dir --help'
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
} &&
	complete -F _samepage samepage
